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

// serveMember lets the site decide and carries out what it decided.
func (h *Handler) serveMember(w http.ResponseWriter, r *http.Request, site core.SiteName, a *ask) {
	k, release := h.use(site)
	if k == nil {
		answerBusy(w)
		return
	}
	defer release()
	switch action := k.decide(r.Context(), a); granted := action.action.(type) {
	case lease.Grant:
		if !h.send(w, r, k, a, granted, action.body) {
			panic(http.ErrAbortHandler) // the connection is worth nothing more
		}
	case lease.Refuse:
		put(w, refusal(granted))
	case lease.Complete:
		put(w, next.Answer{Status: next.StatusComplete})
	case lease.Gone:
		put(w, next.Answer{Status: next.StatusGone})
	default:
		if r.Context().Err() != nil {
			panic(http.ErrAbortHandler) // it has left
		}
		answerBusy(w)
	}
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

func refusal(r lease.Refuse) next.Answer {
	answer := next.Answer{
		Status: next.StatusRefused, Reason: r.Reason.String(), Fragment: r.Fragment, Holder: r.Holder,
		RetryAfter: r.RetryAfter,
	}
	if r.Reason == lease.ReasonBusy {
		answer.Status = next.StatusBusy
	}
	return answer
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
func (h *Handler) send(w http.ResponseWriter, r *http.Request, k *keeper, a *ask, granted lease.Grant,
	b *body) (whole bool) {
	defer func() { k.tell(message{event: lease.BodyEnded{Lease: granted.Lease, Failed: !whole}}) }()
	return h.write(w, r, a, granted.Fragment, granted.From, b, func(bytes int64) {
		k.tell(message{event: lease.BytesSent{Lease: granted.Lease, Bytes: bytes}})
	})
}

// write answers with a fragment, from a byte on.
func (h *Handler) write(w http.ResponseWriter, r *http.Request, a *ask, index core.FragmentIndex, from int64,
	b *body, sent func(int64)) bool {
	log := h.options.Log.With("package", a.pack.ID, "fragment", index)
	plan, err := planOf(a.pack)
	if err != nil {
		log.Error("fragment not sent", "reason", err)
		return false
	}
	file, err := h.options.Depot.Open(a.pack.ID, depot.FragmentName(a.pack.ID, index))
	if err == nil {
		defer file.Close()
		_, err = file.Seek(from, io.SeekStart)
	}
	if err != nil {
		log.Error("fragment not sent", "reason", err)
		return false
	}
	conn := connOf(r.Context())
	if err := shrinkBuffer(conn); err != nil {
		log.Debug("send buffer not set", "reason", err)
	}
	size := plan.Size(index) - from
	head := next.Header(w.Header())
	next.Answer{Status: next.StatusFragment, Fragment: index, From: from, Length: size}.Put(head)
	head["Content-Length"] = []string{fmt.Sprint(size)}
	head["Content-Type"] = []string{"application/octet-stream"}
	w.WriteHeader(next.StatusFragment)
	s := newStream(b, http.NewResponseController(w), conn)
	defer s.end()
	return s.copy(r.Context(), w, file, size, sent)
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
	if !h.write(w, r, a, index, from, newBody(), func(int64) {}) {
		panic(http.ErrAbortHandler)
	}
}
