package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestToldAtOnce: with a day between contacts, all agents of a site have one within seconds of an administrator's command,
// which is another process than the server, and of its withdrawal.
func TestToldAtOnce(t *testing.T) {
	s := newSwarm(t, 5, fastRate)
	s.must("config", "set", "CONTACT_SECONDS", "86400")
	for _, agent := range s.agents {
		s.waitFor("the end of contacts", func() bool { return time.Until(s.stands(agent).NextContact) > 12*time.Hour })
	}
	file := s.script("true", 1000)
	id := s.build("--action", "LAUNCH", "--command", "run.sh", "--file", file)
	s.must("activation", "create", "--package", id)
	messages := func(device string) int { return s.requests("path=/ocsinventory", "computer="+device) }
	before, heard := map[string]int{}, map[string]time.Duration{}
	for _, device := range s.devices {
		before[device] = messages(device)
	}
	from := time.Now()
	s.must("affect", "--package", id, "--query", "os = linux")
	s.waitFor("a message of each", func() bool {
		for _, device := range s.devices {
			if _, has := heard[device]; !has && messages(device) > before[device] {
				heard[device] = time.Since(from)
			}
		}
		return len(heard) == len(s.devices)
	})
	t.Logf("messages after %v", slices.Sorted(maps.Values(heard)))
	s.waitFor("the results", func() bool {
		return strings.Contains(s.must("rollout", "status", "--package", id, "--json"), fmt.Sprintf(`"SUCCESS":%d`, len(s.devices)))
	})
	t.Logf("all have run it after %v", time.Since(from))
	if took := time.Since(from); took > time.Minute { // hours, were it left to contacts; the reporter asked each 30 s
		t.Errorf("all have run it after %v", took)
	}
}

// TestRevokedLeaves: the neighbours of an agent that is revoked drop it within seconds, in the midst of a package of which
// it gets nothing more, and do not take it back when they are started anew while the server is away.
func TestRevokedLeaves(t *testing.T) {
	s := newSwarm(t, 4, slowRate)
	gone, stay := s.agents[3], s.agents[:3]
	p := s.tell(40, 64) // of 40 s
	s.waitFor("the package on its way to all", func() bool {
		for _, agent := range s.agents {
			if _, members := s.sources(agent, p); members == 0 {
				return false
			}
		}
		return true
	})
	from := time.Now()
	s.must("agent", "revoke", s.devices[3])
	for _, agent := range stay {
		s.meets(agent, 2)
	}
	t.Logf("dropped after %v", time.Since(from))
	s.meets(gone, 0)
	_, before := s.sources(gone, p)
	s.must("site", "set", "lyon", "--wan-rate", fastRate)
	s.succeeds(p, 3)
	if _, after := s.sources(gone, p); after > before {
		t.Errorf("members have sent the revoked agent %d bytes more", after-before)
	}
	if err := s.server.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, agent := range stay { // one after the other: each is found elsewhere afterwards
		if err := agent.Stop(); err != nil {
			t.Fatal(err)
		}
		s.begin(agent)
		s.meets(agent, 2)
	}
	s.meets(gone, 0)
}
