package member

import (
	"testing"
	"time"

	"enjambre/core/ocs"
	"enjambre/peer/id"
	"enjambre/peer/ticket"
)

// withNotice adds a notice to the server's words: tickets of these members are void that are older than the epoch.
func (d *deployment) withNotice(said *ocs.Swarm, epoch uint64, void ...id.Peer) *ocs.Swarm {
	d.t.Helper()
	notice := ticket.Notice{Number: epoch, Issued: time.Now(), Spread: 7 * time.Second}
	for _, one := range void {
		notice.Voids = append(notice.Voids, ticket.Void{Holder: ticket.HolderOf(one), Epoch: epoch})
	}
	var err error
	if said.Notice, err = notice.Sign(d.online, "test", said.Site); err != nil {
		d.t.Fatal(err)
	}
	return said
}

// TestTakenBack: whose ticket was taken back is dropped by all as soon as one of them has heard it, and is not let in
// again before it shows a newer one; over what time to call goes with the news.
func TestTakenBack(t *testing.T) {
	d := newDeployment(t)
	a, b, c := d.computer("a").start(), d.computer("b").start(), d.computer("c").start()
	a.Told(d.words(a.Self(), "lyon", 1))
	b.Told(d.words(b.Self(), "lyon", 1, a.place()))
	c.Told(d.words(c.Self(), "lyon", 1, a.place()))
	for _, one := range []*running{a, b, c} {
		one.becomes("together", together(2))
	}
	a.Told(d.withNotice(d.words(a.Self(), "lyon", 2), 2, c.Self()))
	for _, one := range []*running{a, b} {
		one.becomes("without it", together(1))
	}
	c.becomes("alone", func(s Status) bool { return s.Neighbours == 0 })
	if view := b.View(); view.Spread != 7*time.Second || view.Epoch.Number != 2 {
		t.Errorf("b sees %+v", view)
	}
	if _, err := b.judge(c.Self(), must(c.hello())); err == nil {
		t.Error("its old ticket is taken")
	}
	c.Told(d.withNotice(d.words(c.Self(), "lyon", 2, a.place()), 2, c.Self()))
	if _, err := b.judge(c.Self(), must(c.hello())); err != nil {
		t.Errorf("its new ticket: %v", err)
	}
	for _, one := range []*running{a, b, c} {
		one.becomes("together again", together(2))
	}
}

// TestOutlived: a connection ends with the ticket by which it was opened, and is opened anew by a newer one.
func TestOutlived(t *testing.T) {
	d := newDeployment(t)
	a, b := d.computer("a").start(), d.computer("b").start()
	a.Told(d.words(a.Self(), "lyon", 1))
	b.Told(d.words(b.Self(), "lyon", 1, a.place()))
	a.becomes("together", together(1))
	a.mu.Lock()
	shown := a.admitted[b.Self()]
	shown.expires = time.Now().Add(-time.Second)
	a.admitted[b.Self()] = shown
	a.mu.Unlock()
	a.becomes("met again", func(s Status) bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return s.Neighbours == 1 && a.admitted[b.Self()].expires.After(time.Now())
	})
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
