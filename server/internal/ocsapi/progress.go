package ocsapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/peer/pulse"
	"enjambre/server/internal/store"
)

// A waiting is a PROGRESS whose answer may wait for news. It keeps nothing of the message, which may be long.
type waiting struct {
	from  caller
	ask   pulse.Asked
	reply []byte // as it would be at once
}

// progress notes how far packages are, there and at the others of the site, in bulk, and says what is new at the agent's
// site; or that the answer is to wait for something new.
func (h *Handler) progress(ctx context.Context, request *ocs.Request, from caller) ([]byte, *waiting, error) {
	told, err := request.Progress()
	if err != nil {
		return nil, nil, err
	}
	answer, err := h.store.AcceptProgress(ctx, from.Caller, told)
	if err != nil {
		return nil, nil, err
	}
	now := h.now()
	reply, err := h.progressReply(ctx, answer, now)
	if err != nil {
		return nil, nil, err
	}
	said, err := h.said(ctx, from, answer.Site, told.Said, now)
	if err != nil {
		return nil, nil, err
	}
	err = h.note(ctx, store.Touch{
		Device: from.Device, Agent: clipAgent(from.agent), At: now, Progress: answer.Worth, Said: said,
	})
	if err != nil || reply == nil || told.Wait == 0 {
		return reply, nil, err
	}
	from.Device = core.DeviceID(strings.Clone(string(from.Device))) // of the message
	return nil, &waiting{from: from, reply: reply, ask: pulse.Asked{
		Member: from.Key, Site: answer.Site, Number: answer.Epoch, Known: told.Known, Wait: told.Wait,
	}}, nil
}

// progressReply says what is new at a site; nil where nothing is to be said.
func (h *Handler) progressReply(ctx context.Context, answer store.ProgressAnswer, now time.Time) ([]byte, error) {
	key, _ := h.words.keys()
	if key == nil || answer.Epoch == 0 {
		return nil, nil
	}
	epoch, err := h.words.epoch(key, answer.Site, answer.Epoch, now)
	if err != nil {
		return nil, err
	}
	notice, err := h.notice(ctx, key, answer.Site, answer.Epoch, answer.Voids, now)
	if err != nil {
		return nil, err
	}
	return ocs.Encode(ocs.ProgressReply{Epoch: epoch, Notice: notice}.Append(nil)), nil
}

// await waits, with nobody's turn, until there is news for who has asked, and answers then: if it may still be told.
func (h *Handler) await(w http.ResponseWriter, r *http.Request, asked *waiting) ([]byte, error) {
	// Not requestTimeout, which counts since the request came: net/http takes its end for the sender's hanging up.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(asked.ask.Wait + requestTimeout))
	if waited := h.news.wait(r.Context(), asked.ask); !waited && h.news.number(asked.ask.Site) <= asked.ask.Number {
		return asked.reply, nil
	}
	if r.Context().Err() != nil {
		return nil, nil // the agent has hung up, as it does when it has something to report
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	if err := h.enter(ctx); err != nil {
		return nil, err
	}
	defer h.leave()
	answer, err := h.store.AcceptProgress(ctx, asked.from.Caller, ocs.Progress{})
	if err != nil {
		return nil, err
	}
	return h.progressReply(ctx, answer, h.now())
}

// number returns the number of a site's news as far as the room has heard.
func (n *newsroom) number(site core.SiteName) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.desk.Number(site)
}
