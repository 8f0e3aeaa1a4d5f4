package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"enjambre/core"
	"enjambre/e2e/stage"
)

const swarmRate = "4mbit" // of the WAN: 2.5 MiB in 5 s

// A parcel is a package that all agents of a site get.
type parcel struct {
	id                     string
	size                   int64 // of its archive
	fragments, fragmentKiB int
}

// A swarm is several agents of one site on this machine, each with a port of its own.
type swarm struct {
	*site
	agents  []*stage.Member // those that the test lets run; the first is the site's
	devices []string
}

// newSwarm starts a server and agents of a site with a WAN rate, and waits until each is a neighbour of all others.
func newSwarm(t *testing.T, agents int) *swarm {
	t.Helper()
	s := &swarm{site: newSite(t)}
	s.must("site", "set", "lyon", "--wan-rate", swarmRate, "--pace", "rate")
	s.agents, s.devices = []*stage.Member{s.member}, []string{s.device}
	for len(s.agents) < agents {
		s.add()
	}
	for _, agent := range s.agents {
		s.begin(agent)
	}
	for _, agent := range s.agents {
		s.meets(agent, agents-1)
	}
	return s
}

// add enrols one more agent, which does not run yet.
func (s *swarm) add() *stage.Member {
	s.Helper()
	agent, err := stage.NewMember(s.Context(), s.server, agentBinary, s.folder, fmt.Sprint("state", len(s.agents)+1), "lyon")
	if err != nil {
		s.Fatal(err)
	}
	agent.Listen = "0"
	device, err := agent.Device()
	if err != nil {
		s.Fatal(err)
	}
	s.agents, s.devices = append(s.agents, agent), append(s.devices, device)
	s.Cleanup(func() {
		if err := agent.Stop(); err != nil {
			s.Error(err)
		}
		if s.Failed() {
			s.Logf("%s:\n%s", agent.State, agent.Log())
		}
	})
	return agent
}

func (s *swarm) begin(agent *stage.Member) {
	s.Helper()
	if err := agent.Start(); err != nil {
		s.Fatal(err)
	}
}

// A memberStatus is what "status --json" shows of the swarm.
type memberStatus struct {
	Process int
	Swarm   struct {
		Site, Problem       string
		Members, Neighbours int
		Nearby              *int
	}
	Packages []struct {
		Package  string
		Have, Of int
	}
	Sources []struct {
		Package         string
		Origin, Members int64
	}
}

// stands returns what an agent shows; nothing before it has shown anything.
func (s *swarm) stands(agent *stage.Member) (status memberStatus) {
	s.Helper()
	shows := stage.Member{Binary: agentCrash, State: agent.State} // each start of a program with the race detector takes a second
	if err := shows.JSON(s.Context(), &status, "status"); err != nil {
		s.Logf("%s: %v", agent.State, err)
	}
	return status
}

// meets waits until an agent has so many neighbours.
func (s *swarm) meets(agent *stage.Member, neighbours int) {
	s.Helper()
	s.waitFor(fmt.Sprintf("%d neighbours of %s", neighbours, agent.State), func() bool {
		return s.stands(agent).Swarm.Neighbours == neighbours
	})
}

// tell builds a package of fragments of so many KiB, the last of a few, and affects it to every agent.
func (s *swarm) tell(fragments, fragmentKiB int) parcel {
	s.Helper()
	file := s.script("true", fragmentKiB<<10*(fragments-1)+1000)
	id := s.build("--action", "LAUNCH", "--command", "run.sh", "--file", file, "--fragment-size", fmt.Sprint(fragmentKiB, "KiB"))
	s.must("activation", "create", "--package", id)
	for _, device := range s.devices {
		s.must("affect", "--package", id, "--computer", device)
	}
	info, err := os.Stat(file)
	if err != nil {
		s.Fatal(err)
	}
	return parcel{id, info.Size(), fragments, fragmentKiB}
}

// succeeds waits until the server has heard of so many successes.
func (s *swarm) succeeds(p parcel, computers int) {
	s.Helper()
	s.waitFor("the results", func() bool {
		return strings.Contains(s.must("rollout", "status", "--package", p.id, "--json"), fmt.Sprintf(`"SUCCESS":%d`, computers))
	})
}

// sources returns where the bytes of a package came from at one agent, by its own count.
func (s *swarm) sources(agent *stage.Member, p parcel) (origin, members int64) {
	s.Helper()
	for _, one := range s.stands(agent).Sources {
		if one.Package == p.id {
			return one.Origin, one.Members
		}
	}
	return 0, 0
}

// crossed holds the site's ledger to that a package was sent once, but for what is allowed in fragments; and to that no
// plain file was fetched.
func (s *swarm) crossed(p parcel, extra int) {
	s.Helper()
	sent, leases := s.sent("lyon")
	total, again := int64(0), 0
	for index := range core.FragmentIndex(p.fragments) {
		total += sent[index]
		again += max(leases[index]-1, 0)
		if leases[index] == 0 {
			s.Errorf("fragment %d was never lent", index)
		}
	}
	s.Logf("%d bytes sent of %d, %d fragments lent again", total, p.size, again)
	if again > extra || total > p.size+int64(extra*p.fragmentKiB)<<10 || total < p.size {
		s.Errorf("%d bytes sent of %d, %d fragments lent again, want at most %d", total, p.size, again, extra)
	}
	if plain := s.requests("agent=enjambre-agent", "/download/"+p.id+"/"+p.id+"-"); plain > 0 {
		s.Errorf("%d plain files were fetched", plain)
	}
}

// TestSwarm: a package crosses a site's WAN once for four agents, and not at all for a fifth that comes when all have
// ended; when it is taken back, they do not keep giving it.
func TestSwarm(t *testing.T) {
	s := newSwarm(t, 4)
	p := s.tell(40, 64)
	s.succeeds(p, 4)
	total := int64(0)
	for _, agent := range s.agents {
		s.waitFor("all bytes to be counted", func() bool {
			origin, members := s.sources(agent, p)
			return origin+members == p.size
		})
		origin, members := s.sources(agent, p)
		t.Logf("%s: %d bytes from the origin, %d from members", agent.State, origin, members)
		total += origin
	}
	if total != p.size {
		t.Errorf("agents count %d bytes from the origin, want %d", total, p.size)
	}

	late := s.add()
	s.begin(late)
	s.meets(late, 4)
	s.must("affect", "--package", p.id, "--computer", s.devices[4])
	s.succeeds(p, 5)
	s.waitFor("all bytes from members", func() bool {
		origin, members := s.sources(late, p)
		return origin == 0 && members == p.size
	})
	if !strings.Contains(s.fullLog(late), "info file had from a member") {
		t.Error("the late one asked the server for the info file")
	}
	if err := s.server.Stop(); err != nil { // so that the ledger is whole
		t.Fatal(err)
	}
	s.crossed(p, 0)
}

// fullLog returns all that an agent has logged.
func (s *swarm) fullLog(agent *stage.Member) string {
	s.Helper()
	data, err := os.ReadFile(agent.State + ".log")
	if err != nil {
		s.Fatal(err)
	}
	return string(data)
}

// TestSwarmServerLost: the server dies when the site has one copy. An agent that slept meanwhile, and one that was
// killed and starts anew, complete the package from the others and run it; results come when the server is back.
func TestSwarmServerLost(t *testing.T) {
	s := newSwarm(t, 4)
	p := s.tell(12, 256)
	asleep, killed := s.agents[2], s.agents[3]
	for _, agent := range s.agents {
		s.waitFor("the first fragments", func() bool { return s.has(agent, p) > 0 })
	}
	if err := syscall.Kill(asleep.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(asleep.PID(), syscall.SIGCONT) })
	if err := killed.Kill(); err != nil {
		t.Fatal(err)
	}
	s.succeeds(p, 2)
	if err := s.server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(asleep.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.begin(killed)
	for _, agent := range []*stage.Member{asleep, killed} {
		s.waitFor("the end without server", func() bool {
			status := s.stands(agent)
			return status.Process == agent.PID() && len(status.Packages) == 0
		})
	}
	if err := s.server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.succeeds(p, 4)
	if err := s.server.Stop(); err != nil {
		t.Fatal(err)
	}
	s.crossed(p, 4) // for each of the two what was on its way to it and what it had not announced yet
}

// has returns how many fragments an agent has of a package.
func (s *swarm) has(agent *stage.Member, p parcel) int {
	s.Helper()
	for _, task := range s.stands(agent).Packages {
		if task.Package == p.id {
			return task.Have
		}
	}
	return 0
}

// TestSwarmHolderKilled: an agent is killed in the middle; that costs what was on its way to it and what it had not
// announced yet. When it is back, it gets from members what they have.
func TestSwarmHolderKilled(t *testing.T) {
	s := newSwarm(t, 3)
	p := s.tell(24, 256)
	victim := s.agents[1]
	for _, agent := range s.agents { // what the victim had before the others were told would go again too
		s.waitFor("some fragments", func() bool { return s.has(agent, p) >= p.fragments/3 })
	}
	if err := victim.Kill(); err != nil {
		t.Fatal(err)
	}
	s.succeeds(p, 2)
	before, _ := s.sources(victim, p)
	taken := s.requests("/download/"+p.id+"/next", "status=200")
	s.begin(victim)
	s.succeeds(p, 3)
	if more := s.requests("/download/"+p.id+"/next", "status=200") - taken; more > 0 {
		t.Errorf("the origin sent %d bodies to an agent whose neighbours had all", more)
	}
	s.waitFor("the rest from members", func() bool { // counts are remembered, but for the last second before the kill
		now, members := s.sources(victim, p)
		return now <= before+int64(2*p.fragmentKiB)<<10 && members >= p.size/3
	})
	if err := s.server.Stop(); err != nil {
		t.Fatal(err)
	}
	s.crossed(p, 2)
}
