package origin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"enjambre/core"
	"enjambre/peer/lease"
	"enjambre/peer/next"
	"enjambre/server/internal/depot"
)

// serveMember lets the site decide and carries out what it decided; false, and nothing is answered, if its member may
// have left the site meanwhile.
func (h *Handler) serveMember(w http.ResponseWriter, r *http.Request, site core.SiteName, a *ask) bool {
	k, release := h.use(site)
	if k == nil {
		answerBusy(w)
		return true
	}
	defer release()
	got := k.decide(r.Context(), a)
	with := next.Answer{Sent: got.sent, Introduce: h.introduction(r, site, got.introduce)}
	switch decided := got.action.(type) {
	case lease.Grant:
		with.Fragment, with.From = decided.Fragment, decided.From
		if !h.send(w, r, k, a, decided.Lease, with, got.body) {
			panic(http.ErrAbortHandler) // the connection is worth nothing more
		}
	case lease.Refuse:
		put(w, refusal(decided, with))
	case lease.Complete:
		with.Status = next.StatusComplete
		put(w, with)
	case lease.Gone:
		with.Status = next.StatusGone
		put(w, with)
	default:
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler) // it has left
		}
		if got.isOld {
			return false
		}
		answerBusy(w)
	}
	return true
}

// decide returns the site's answer to a request, also to one that leaves meanwhile.
func (k *keeper) decide(ctx context.Context, a *ask) answer {
	if !k.tell(message{asked: a}) {
		return answer{}
	}
	select {
	case got := <-a.answer:
		return got
	case <-k.done:
		return answer{}
	case <-ctx.Done():
	}
	k.tell(message{left: a})
	select {
	case got := <-a.answer: // it may have been granted something at the last moment
		return got
	case <-k.done:
		return answer{}
	}
}

// refusal fills in what an answer says of a refusal.
func refusal(r lease.Refuse, with next.Answer) next.Answer {
	with.Status, with.Reason, with.RetryAfter = next.StatusRefused, r.Reason.String(), r.RetryAfter
	with.Fragment, with.Holder = r.Fragment, r.Holder
	if r.Reason == lease.ReasonBusy {
		with.Status = next.StatusBusy
	}
	return with
}

// busyPause is what an asker is told to wait when the server cannot say better.
const busyPause = 5 * time.Second

func answerBusy(w http.ResponseWriter) {
	put(w, next.Answer{Status: next.StatusBusy, Reason: lease.ReasonBusy.String(), RetryAfter: busyPause})
}

func put(w http.ResponseWriter, a next.Answer) {
	a.Put(next.Header(w.Header()))
	w.WriteHeader(a.Status)
}

// send writes a granted body and reports how it went; false if it is not whole.
func (h *Handler) send(w http.ResponseWriter, r *http.Request, k *keeper, a *ask, granted lease.LeaseID,
	with next.Answer, b *body) (whole bool) {
	defer func() { k.tell(message{event: lease.BodyEnded{Lease: granted, Failed: !whole}}) }()
	return h.write(w, r, a, with, b, func(bytes int64) {
		k.tell(message{event: lease.BytesSent{Lease: granted, Bytes: bytes}})
	})
}

// write answers with the fragment that an answer names, from a byte on.
func (h *Handler) write(w http.ResponseWriter, r *http.Request, a *ask, with next.Answer, b *body,
	sent func(int64)) bool {
	log := h.options.Log.With("package", a.pack.ID, "fragment", with.Fragment)
	plan, err := planOf(a.pack)
	if err != nil {
		log.Error("fragment not sent", "reason", err)
		return false
	}
	file, err := h.options.Depot.Open(a.pack.ID, depot.FragmentName(a.pack.ID, with.Fragment))
	if err == nil {
		defer file.Close()
		_, err = file.Seek(with.From, io.SeekStart)
	}
	if err != nil {
		log.Error("fragment not sent", "reason", err)
		return false
	}
	conn := connOf(r.Context())
	if err := shrinkBuffer(conn); err != nil {
		log.Debug("send buffer not set", "reason", err)
	}
	with.Status, with.Length = next.StatusFragment, plan.Size(with.Fragment)-with.From
	head := next.Header(w.Header())
	with.Put(head)
	head["Content-Length"] = []string{fmt.Sprint(with.Length)}
	head["Content-Type"] = []string{"application/octet-stream"}
	w.WriteHeader(next.StatusFragment)
	s := newStream(b, http.NewResponseController(w), conn)
	defer s.end()
	return s.copy(r.Context(), w, file, with.Length, sent)
}

// serveAlone sends a computer without a site what it wants first.
func (h *Handler) serveAlone(w http.ResponseWriter, r *http.Request, a *ask) {
	switch {
	case a.pack.ID == 0:
		put(w, next.Answer{Status: next.StatusGone})
		return
	case len(a.event.Want) == 0 || int(a.event.Want[0]) >= a.pack.Fragments:
		put(w, next.Answer{Status: next.StatusComplete})
		return
	}
	index, from := a.event.Want[0], int64(0)
	plan, err := planOf(a.pack)
	if resume := a.event.Resume; err == nil && resume.Fragment == index && resume.From < plan.Size(index) {
		from = resume.From
	}
	if !h.write(w, r, a, next.Answer{Fragment: index, From: from}, newBody(), func(int64) {}) {
		panic(http.ErrAbortHandler)
	}
}
