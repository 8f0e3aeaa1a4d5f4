package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"enjambre/e2e/stage"
)

// TestSwarmAlone: an agent that is told to take no part, and one whose port another program has, install what they are
// given, and say why they take no part.
func TestSwarmAlone(t *testing.T) {
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	s := &swarm{site: newSite(t)}
	s.agents, s.devices = []*stage.Member{s.member}, []string{s.device}
	off, hindered := s.member, s.add()
	off.Listen = "off"
	_, hindered.Listen, _ = net.SplitHostPort(taken.LocalAddr().String())
	for _, agent := range s.agents {
		s.begin(agent)
	}
	s.waitFor("the second one's first contact", func() bool { return strings.Contains(s.fullLog(hindered), "msg=contact") })
	p := s.tell(4, 64)
	s.succeeds(p, 2)
	for agent, why := range map[*stage.Member]string{
		off: "switched off in the settings", hindered: fmt.Sprintf("UDP port %s", hindered.Listen),
	} {
		var status memberStatus
		s.waitFor("all bytes from the server", func() bool {
			origin, members := s.sources(agent, p)
			status = s.stands(agent)
			return origin == p.size && members == 0
		})
		text, err := (&stage.Member{Binary: agentCrash, State: agent.State}).Run(t.Context(), "status", "--state", agent.State)
		if err != nil || !strings.Contains(status.Swarm.Problem, why) || !strings.Contains(text, why) {
			t.Errorf("got %+v, %v\n%s\nwant %q", status.Swarm, err, text, why)
		}
	}
}
