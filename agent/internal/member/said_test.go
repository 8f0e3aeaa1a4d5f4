package member

import (
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/peer/id"
	"enjambre/peer/wire"
)

// TestSaid: what a member says reaches those that it is for, signed; what is forged, nobody's or no progress does not.
func TestSaid(t *testing.T) {
	d := newDeployment(t)
	a, b := d.computer("a").start(), d.computer("b").start()
	packages := []wire.PackageProgress{{Package: 7, Phase: ocs.Downloading, Have: 3, Of: 8}}
	a.Say(packages, b.Self()) // to nobody, as there is no gossip yet
	a.Told(d.words(a.Self(), "lyon", 1))
	b.Told(d.words(b.Self(), "lyon", 1, a.place()))
	a.becomes("together", together(1))
	b.becomes("together", together(1))
	hears := func(what string, say func()) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; {
			say()
			a.Say(packages, id.Peer{}, a.Self(), b.Self()) // packets may be lost
			select {
			case said := <-b.Said():
				if said.Peer != a.Self() || len(said.Packages) != 1 || said.Packages[0] != packages[0] || said.Verify() != nil ||
					time.Since(said.Issued) > patience {
					t.Errorf("%s: got %+v", what, said)
				}
				return
			case <-time.After(time.Second):
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: nothing is heard", what)
			}
		}
	}
	hears("a word", func() {})
	gossip := a.current().formation.gossip
	send := func(frame wire.Frame) func() {
		return func() {
			message, err := wire.Append(nil, frame)
			if err == nil {
				err = gossip.Send(b.Self(), message)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	forged := wire.Progress{Issued: time.Now()}
	if err := forged.Sign(a.key); err != nil {
		t.Fatal(err)
	}
	stranger := wire.Progress{Issued: time.Now()}
	if err := stranger.Sign(seeded(77)); err != nil {
		t.Fatal(err)
	}
	forged.Packages = packages[:1:1]
	forged.Packages = append(forged.Packages, wire.PackageProgress{Package: 8, Phase: ocs.Delayed})
	hears("after a forged one", send(forged))
	hears("after a stranger's", send(stranger))
	hears("after another frame", send(wire.Epoch{Signed: []byte{1}}))
	s := b.current()
	for name, c := range map[string]struct {
		said  wire.Progress
		class core.Class
	}{"forged": {forged, core.ClassSig}, "a stranger's": {stranger, core.ClassIdent}} {
		message, err := wire.Append(nil, c.said)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.believe(message); core.ClassOf(err) != c.class {
			t.Errorf("%s: got %v, want %s", name, err, c.class)
		}
	}
	if _, err := s.believe(nil); core.ClassOf(err) != core.ClassFormat {
		t.Errorf("nothing: got %v", err)
	}
	b.Told(&ocs.Swarm{}) // which ends its gossip
	b.becomes("alone", func(s Status) bool { return s.Members == 0 })
	b.Say(packages, a.Self())
}
