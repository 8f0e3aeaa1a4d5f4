package e2e

import (
	"slices"
	"testing"
	"time"
)

// TestReporter: while agents fetch a package and none has a contact, the server is told how far they are by the one that
// reports for the site, and by another one when that is killed.
func TestReporter(t *testing.T) {
	s := newSwarm(t, 4, "256kbit")
	p := s.tell(600, 32) // of 10 min, should this test take so long
	s.even(p, 1)
	s.must("config", "set", "CONTACT_SECONDS", "3600")
	for _, agent := range s.agents {
		s.waitFor("the end of contacts", func() bool { return time.Until(s.stands(agent).NextContact) > 20*time.Minute })
	}
	reporter := s.reported(p, s.devices)
	if err := s.agents[slices.Index(s.devices, reporter)].Kill(); err != nil {
		t.Fatal(err)
	}
	left := slices.DeleteFunc(slices.Clone(s.devices), func(one string) bool { return one == reporter })
	if next := s.reported(p, left); next == reporter {
		t.Errorf("%s reports, which was killed", next)
	}
}

// reported waits until the server shows that all of some computers have got farther although all but one of them have
// said nothing to it meanwhile, and returns the one that has. It begins anew when others have, too.
func (s *swarm) reported(p parcel, devices []string) (reporter string) {
	s.Helper()
	before := s.told(p)
	s.waitFor("progress by one reporter", func() bool {
		now := s.told(p)
		var said []string
		farther := 0
		for _, device := range devices {
			if now[device].until > before[device].since {
				said = append(said, device)
			}
			if now[device].have > before[device].have {
				farther++
			}
		}
		if len(said) > 1 {
			s.Logf("%v have said something", said)
			before = now
			return false
		}
		if farther < len(devices) || len(said) == 0 {
			return false
		}
		reporter = said[0]
		return true
	})
	return reporter
}

// A telling is what the server knows of a package on a computer, and how many messages the computer had sent before it
// was looked at, and after.
type telling struct{ have, since, until int }

// told returns what the server knows of a package on each computer.
func (s *swarm) told(p parcel) map[string]telling {
	s.Helper()
	all := map[string]telling{}
	messages := func(device string) int { return s.requests("path=/ocsinventory", "computer="+device) }
	for _, device := range s.devices {
		all[device] = telling{since: messages(device)}
	}
	var page struct {
		Computers []struct {
			Computer string
			Progress struct{ Have int }
		}
	}
	err := s.server.JSON(s.Context(), &page, "rollout", "status", "--package", p.id, "--state", "NOTIFIED")
	if err != nil {
		s.Fatal(err)
	}
	for _, one := range page.Computers {
		all[one.Computer] = telling{one.Progress.Have, all[one.Computer].since, messages(one.Computer)}
	}
	return all
}
