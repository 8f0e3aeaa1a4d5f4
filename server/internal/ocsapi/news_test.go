package ocsapi

import (
	"context"
	"crypto/ed25519"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"enjambre/core/ocs"
	"enjambre/peer/id"
	"enjambre/peer/ticket"
)

// A newsLab is an agentLab whose handler looks for news.
type newsLab struct {
	agentLab
	stop func() // ends looking, and waits for that
}

func newNewsLab(t *testing.T) newsLab {
	t.Helper()
	a := newAgentLab(t)
	a.online(keyOf(7), publicOf(keyOf(7)))
	a.from("10.2.0.8:999", device, keyOf(5), listening)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { check(t, a.handler.Run(ctx)) })
	stop := func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	l := newsLab{a, stop}
	l.until("it looks", func() bool { return l.handler.news.number("lyon") > 0 })
	return l
}

// until waits for a condition.
func (l newsLab) until(what string, holds func() bool) {
	l.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			l.Fatalf("not in a minute: %s", what)
		}
	}
}

// ask asks with what is known, and returns where the answer comes.
func (l newsLab) ask(ctx context.Context, known uint64) <-chan *httptest.ResponseRecorder {
	l.Helper()
	document := ocs.Progress{Known: known, Wait: 45 * time.Second}.Append(nil, device)
	request := l.requestAs(l.certificate, document).WithContext(ctx)
	answers := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		answer := httptest.NewRecorder()
		l.handler.ServeHTTP(answer, request)
		answers <- answer
	}()
	return answers
}

// open waits until so many asks wait.
func (l newsLab) open(count int) {
	l.Helper()
	l.until("asks wait", func() bool {
		l.handler.news.mu.Lock()
		defer l.handler.news.mu.Unlock()
		return l.handler.news.desk.Open() == count && len(l.handler.news.waiting) == count
	})
}

// told reads an answer.
func (l newsLab) told(answer *httptest.ResponseRecorder) (ticket.Epoch, ticket.Notice) {
	l.Helper()
	if answer.Code != http.StatusOK {
		l.Fatalf("got %d", answer.Code)
	}
	document, err := ocs.Decode(answer.Body.Bytes(), ocs.MaxInventory)
	check(l, err)
	reply, err := ocs.ParseProgressReply(document)
	check(l, err)
	v := verifier(&ocs.Swarm{Site: "lyon", OnlineKeys: [][]byte{publicOf(keyOf(7))}})
	epoch, err := v.Epoch(reply.Epoch, now)
	check(l, err)
	notice, err := v.Notice(reply.Notice, now)
	check(l, err)
	return epoch, notice
}

// TestWaitsForNews: an ask is answered once somebody, here over another opening of the database as a command would, makes
// news; at once, if there are; and with what is void.
func TestWaitsForNews(t *testing.T) {
	l := newNewsLab(t)
	l.enrolled("other-2026-01-01-00-00-00", keyOf(6))
	l.from("10.2.0.9:999", "other-2026-01-01-00-00-00", keyOf(6), ocs.Prolog{})
	first := l.ask(t.Context(), 1)
	l.open(1)
	check(t, l.store.Revoke(t.Context(), "other-2026-01-01-00-00-00", now))
	epoch, notice := l.told(<-first)
	if epoch.Number != 2 || notice.Number != 2 || notice.Spread != time.Second ||
		!notice.Covers(id.Peer(publicOf(keyOf(6))), 1) || notice.Covers(id.Peer(publicOf(keyOf(5))), 1) {
		t.Errorf("got %+v, %+v", epoch, notice)
	}
	if epoch, _ := l.told(<-l.ask(t.Context(), 1)); epoch.Number != 2 {
		t.Errorf("there are news: got %+v", epoch)
	}
	l.open(0)
}

// TestWaitingEnds: when the agent hangs up, asks again, or the server ends, nobody waits any more.
func TestWaitingEnds(t *testing.T) {
	l := newNewsLab(t)
	ctx, hangUp := context.WithCancel(t.Context())
	gone := l.ask(ctx, 1)
	l.open(1)
	hangUp()
	<-gone
	l.open(0)

	former := l.ask(t.Context(), 1)
	l.open(1)
	newer := l.ask(t.Context(), 1)
	if epoch, _ := l.told(<-former); epoch.Number != 1 {
		t.Errorf("got %+v", epoch)
	}
	l.open(1)
	l.stop()
	if epoch, _ := l.told(<-newer); epoch.Number != 1 {
		t.Errorf("at the end: got %+v", epoch)
	}
	if epoch, _ := l.told(<-l.ask(t.Context(), 1)); epoch.Number != 1 {
		t.Errorf("after the end: got %+v", epoch)
	}
}

// TestWaitingIsJudgedAgain: who was revoked while it waited is told nothing.
func TestWaitingIsJudgedAgain(t *testing.T) {
	l := newNewsLab(t)
	answer := l.ask(t.Context(), 1)
	l.open(1)
	check(t, l.store.Revoke(t.Context(), device, now))
	if got := <-answer; got.Code != http.StatusForbidden || got.Body.Len() > 0 {
		t.Errorf("got %d, %d bytes", got.Code, got.Body.Len())
	}
}

// TestWaitingHoldsNobodyUp: who waits has no place among the messages that are received or worked on.
func TestWaitingHoldsNobodyUp(t *testing.T) {
	l := newNewsLab(t)
	answer := l.ask(t.Context(), 1)
	l.open(1)
	if used := len(l.handler.busy) + len(l.handler.gate.all); used != 0 {
		t.Errorf("an ask that waits holds %d places", used)
	}
	check(t, l.store.RaiseEpochs(t.Context()))
	l.told(<-answer)
}

// TestNoticeIsSignedSeldom: as long as it says the same it is the same bytes, and what is said later is newer.
func TestNoticeIsSignedSeldom(t *testing.T) {
	s := newSigner("lyon", nil)
	v := ticket.Verifier{Deployment: "lyon", Site: "nice", Keys: []ed25519.PublicKey{publicOf(keyOf(7)), publicOf(keyOf(8))}}
	sign := func(key byte, notice ticket.Notice) (string, ticket.Notice) {
		t.Helper()
		data, err := s.notice(keyOf(key), "nice", notice)
		check(t, err)
		got, err := v.Notice(data, notice.Issued)
		check(t, err)
		return string(data), got
	}
	one := ticket.Notice{Number: 3, Issued: now, Spread: time.Second}
	first, read := sign(7, one)
	later := one
	later.Issued = now.Add(time.Hour)
	if again, _ := sign(7, later); again != first {
		t.Error("signed again")
	}
	if other, _ := sign(8, later); other == first {
		t.Error("not signed by the other key")
	}
	changed := later
	changed.Floor = 2
	if _, got := sign(8, changed); !got.After(read) || got.Floor != 2 {
		t.Errorf("changed: got %+v", got)
	}
}
