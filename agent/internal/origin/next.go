package origin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync/atomic"
	"time"

	"enjambre/core"
	"enjambre/peer/next"
)

// How long an origin that grants leases may be silent. It lets a request wait for 20 s before it answers that it has
// nothing; a body then keeps moving, however slow the site's rate is.
const (
	answerTime = 30 * time.Second
	stillTime  = 10 * time.Second
)

// nextAttempts is how often one fragment is asked for, the first time included, as long as each body brings some of it.
const nextAttempts = 4

// maxDrained is how much of an answer without fragment is read so that its connection can be used again, in bytes.
const maxDrained = 4 << 10

// ErrNoLeases says that what answers does not speak of leases (package next): it is no origin that grants them.
var ErrNoLeases = errors.New("it grants no leases")

var (
	errSilent = errors.New("no answer in time")
	errStill  = fmt.Errorf("not a byte in %v", stillTime)
)

// A staleError is what came of a connection that was idle before: its server may have ended meanwhile.
type staleError struct{ error }

func (e *staleError) Unwrap() error { return e.error }

// A Wish is what Next asks with.
type Wish struct {
	Request next.Request                   // without Resume
	Have    []byte                         // all that is held; see Next. nil: never said
	Begun   *Begun                         // required where fragments are wanted
	Size    func(core.FragmentIndex) int64 // of each fragment that is wanted, in bytes
}

// Begun is what came of a fragment whose body broke off. The zero Begun is nothing.
type Begun struct {
	Fragment core.FragmentIndex
	Bytes    []byte
}

// Next asks an origin that grants leases, and returns its answer: with all bytes of a fragment, not verified, if it has
// sent one. A body that breaks off is gone on with, a few times, but not after [Client.Renew]; what is in Begun then is for
// the next Wish.
//
// Over a new connection Have is said instead of what Request says to be verified: the server may be another one, which
// then learns who holds what. Requests have connections of their own, so that none that waits holds up messages.
//
// ErrNoLeases says that plain files may do. A refusal (core.ClassOf) says that what was sent is not the fragment that
// the answer names.
func (c *Client) Next(ctx context.Context, address string, wish Wish) (next.Answer, []byte, error) {
	ctx, done := c.untilRenewed(ctx)
	defer done()
	wish.Request.Want = slices.Clone(wish.Request.Want)
	retried := false
	var introduce next.Introduction // that one of the answers brought
	for attempt := 1; ; attempt++ {
		before := wish.resume()
		answer, data, err := c.next(ctx, address, &wish)
		if answer.Introduce == (next.Introduction{}) {
			answer.Introduce = introduce
		}
		introduce = answer.Introduce
		var broken *brokenError
		var stale *staleError
		switch {
		case err == nil:
			return answer, data, nil
		case ctx.Err() != nil:
			return answer, nil, c.named(address, err)
		case errors.As(err, &stale) && !retried:
			retried = true
			attempt--
		case !errors.As(err, &broken) || len(wish.Begun.Bytes) <= before || attempt == nextAttempts:
			return answer, nil, c.named(address, err)
		}
	}
}

// resume asks first for what has begun, and returns how many bytes that are. What is not wanted any more is let go.
func (w *Wish) resume() int {
	w.Request.Resume = next.Resume{}
	if w.Begun == nil || len(w.Begun.Bytes) == 0 {
		return 0
	}
	at := slices.Index(w.Request.Want, w.Begun.Fragment)
	if at < 0 {
		*w.Begun = Begun{}
		return 0
	}
	w.Request.Want = slices.Insert(slices.Delete(w.Request.Want, at, at+1), 0, w.Begun.Fragment)
	w.Request.Resume = next.Resume{Fragment: w.Begun.Fragment, From: int64(len(w.Begun.Bytes))}
	return len(w.Begun.Bytes)
}

// next asks once.
func (c *Client) next(ctx context.Context, address string, wish *Wish) (next.Answer, []byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(c.answerTime, func() { cancel(errSilent) })
	defer silence.Stop()
	response, err := c.ask(ctx, address, wish)
	if err != nil {
		return next.Answer{}, nil, err
	}
	defer response.Body.Close()
	silence.Stop()
	answer, err := next.ParseAnswer(response.StatusCode, next.Header(response.Header))
	switch {
	case err != nil && response.StatusCode >= http.StatusInternalServerError:
		return next.Answer{}, nil, fmt.Errorf("it answered %s", status(response))
	case err != nil:
		return next.Answer{}, nil, fmt.Errorf("%w: it answered %s", ErrNoLeases, status(response))
	case answer.Status != next.StatusFragment:
		_, _ = io.CopyN(io.Discard, response.Body, maxDrained)
		return answer, nil, nil
	case !slices.Contains(wish.Request.Want, answer.Fragment):
		return next.Answer{}, nil, fmt.Errorf("it answers with fragment %d, which nobody asked for", answer.Fragment+1)
	}
	begun, err := wish.accept(response, answer)
	if err != nil {
		return answer, nil, err
	}
	said := &wish.Request // and heard
	said.Acknowledged, said.Failed, said.Have = nil, nil, nil
	data, err := c.take(ctx, cancel, response.Body, begun, answer)
	if err != nil && len(data) > 0 {
		*wish.Begun = Begun{answer.Fragment, data}
	} else if wish.Begun.Fragment == answer.Fragment {
		*wish.Begun = Begun{}
	}
	return answer, data, err
}

// ask sends a request. What it says depends on the connection that it gets, so that is written when that is known.
func (c *Client) ask(ctx context.Context, address string, wish *Wish) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", userAgent)
	brief, whole := next.Header{}, next.Header{}
	err = wish.Request.Put(brief)
	if said := wish.Request; err == nil && wish.Have != nil {
		said.Have, said.Acknowledged = wish.Have, nil
		err = said.Put(whole)
	}
	if err != nil {
		return nil, err
	}
	maps.Copy(request.Header, brief)
	var reused atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		reused.Store(got.Reused)
		if !got.Reused && wish.Have != nil {
			maps.DeleteFunc(request.Header, func(name string, _ []string) bool { return brief[name] != nil })
			maps.Copy(request.Header, whole)
		}
	}})
	response, err := c.lender.Do(request.WithContext(ctx)) // which shares the header
	switch cause := context.Cause(ctx); {
	case err == nil:
		return response, nil
	case cause != nil:
		return nil, cause
	case response == nil && reused.Load():
		return nil, &staleError{err}
	}
	return nil, err
}

// accept holds a body's announcement to what was asked for, and returns what is there of the fragment before it.
func (w *Wish) accept(response *http.Response, answer next.Answer) (begun []byte, err error) {
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" {
		return nil, core.Refuse(core.ClassField, "it answers with the encoding %.60q, which nobody asked for", encoding)
	}
	if answer.From > 0 && w.Begun.Fragment == answer.Fragment {
		begun = bytes.Clone(w.Begun.Bytes)
	}
	if answer.From != int64(len(begun)) {
		return nil, core.Refuse(core.ClassField, "it answers with fragment %d from byte %d on, of which %d bytes are here",
			answer.Fragment+1, answer.From, len(begun))
	}
	if size := w.Size(answer.Fragment); answer.From+answer.Length != size {
		return nil, core.Refuse(core.ClassHash, "fragment %d has %d bytes there, want %d", answer.Fragment+1,
			answer.From+answer.Length, size)
	}
	if length := response.ContentLength; length >= 0 && length != answer.Length {
		return nil, core.Refuse(core.ClassHash, "it answers with %d bytes, and says %d", length, answer.Length)
	}
	return begun, nil
}

// take reads a body that was accepted, behind what has begun. It returns what came also with an error.
func (c *Client) take(ctx context.Context, cancel context.CancelCauseFunc, body io.Reader, begun []byte,
	answer next.Answer) ([]byte, error) {
	size := answer.From + answer.Length
	slow := time.AfterFunc(c.patience, func() { cancel(errSlow) })
	defer slow.Stop()
	still := time.AfterFunc(c.stillTime, func() { cancel(errStill) })
	defer still.Stop()
	moving := movingReader{body, func() { still.Reset(c.stillTime) }}
	data, err := readOn(moving, slices.Grow(begun, int(answer.Length)), size, func() { slow.Reset(c.patience) })
	switch {
	case err == nil && int64(len(data)) == size:
		return data, nil
	case context.Cause(ctx) != nil:
		err = &brokenError{context.Cause(ctx)}
	case err == nil:
		err = &brokenError{fmt.Errorf("%d bytes, want %d", len(data), size)}
	}
	return data, err
}

// A movingReader says whenever something was read.
type movingReader struct {
	io.Reader
	moved func()
}

func (r movingReader) Read(to []byte) (int, error) {
	n, err := r.Reader.Read(to)
	if n > 0 {
		r.moved()
	}
	return n, err
}
