package daemon

import (
	"slices"
	"testing"
	"time"

	"enjambre/agent/internal/member"
	"enjambre/agent/internal/plan"
	"enjambre/core/ocs"
	peerid "enjambre/peer/id"
	"enjambre/peer/owner"
	"enjambre/peer/ticket"
	"enjambre/peer/wire"
)

// A fakeSite is a membership of which only the view matters.
type fakeSite struct {
	view  member.View
	told  int
	says  [][]wire.PackageProgress
	other chan wire.Progress
}

func (s *fakeSite) Self() peerid.Peer        { return peerid.Peer{1} }
func (s *fakeSite) Weight() owner.Weight     { return owner.Medium }
func (s *fakeSite) View() member.View        { return s.view }
func (s *fakeSite) Changed() <-chan struct{} { return nil }
func (s *fakeSite) Learn(ocs.ProgressReply) (ticket.Epoch, error) {
	return s.view.Epoch, nil
}
func (s *fakeSite) Tell(peerid.Peer)           { s.told++ }
func (s *fakeSite) Said() <-chan wire.Progress { return s.other }
func (s *fakeSite) Say(packages []wire.PackageProgress, to ...peerid.Peer) {
	if slices.ContainsFunc(to, func(one peerid.Peer) bool { return one != peerid.Peer{} }) {
		s.says = append(s.says, packages)
	}
}
func (s *fakeSite) epoch(number uint64, at time.Time) {
	s.view.Epoch = ticket.Epoch{Number: number, Issued: at}
}
func (s *fakeSite) from(who peerid.Peer) { s.view.From = who }
func (s *fakeSite) contacted(number uint64, at time.Time) {
	s.epoch(number, at)
	s.from(s.Self())
	s.view.Contacted = s.view.Epoch
}

// TestFollow: what a contact brings is no news; what a member says and no contact has brought is, until one has.
func TestFollow(t *testing.T) {
	d := newDaemon(t)
	fake := &fakeSite{view: member.View{Site: "lyon"}}
	d.following.site = fake
	hasNews := func() bool {
		t.Helper()
		was := false
		for _, event := range d.queue {
			if _, is := event.(plan.NewsHeard); is {
				was = true
			}
		}
		d.queue = nil
		return was
	}
	now := d.clock.now() // no origin is known: nothing is asked about kept packages
	fake.contacted(1, now)
	d.followContact(t.Context())
	fake.contacted(2, now.Add(time.Second))
	d.followContact(t.Context())
	if hasNews() || d.following.pulse.Behind() || fake.told != 1 {
		t.Errorf("what a contact has brought is news; told %d times", fake.told)
	}
	fake.epoch(3, now.Add(2*time.Second))
	fake.from(peerid.Peer{2})
	d.lookAtSite(t.Context())
	if !hasNews() || fake.told != 2 {
		t.Errorf("what a member says is no news; told %d times", fake.told)
	}
	fake.view.Contacted = ticket.Epoch{Number: 2, Issued: now.Add(3 * time.Second)} // the server answered before that
	d.followContact(t.Context())
	if !hasNews() {
		t.Error("news are forgotten for a contact that did not bring them")
	}
	fake.contacted(3, now.Add(4*time.Second))
	d.followContact(t.Context())
	if hasNews() || d.following.pulse.Behind() {
		t.Error("news that a contact has brought")
	}
	fake.view.Site = ""
	d.lookAtSite(t.Context())
	if _, due := d.pulseDue(); due || d.following.pulse != nil {
		t.Error("a site that is left is followed")
	}
}
