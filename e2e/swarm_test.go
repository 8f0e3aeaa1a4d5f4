package e2e

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"enjambre/core"
	"enjambre/e2e/stage"
	"enjambre/peer/id"
	"enjambre/peer/lease"
)

// Rates of the WAN. What a member has and no other one goes again when it is stopped, so a fragment must take long
// against the time in which the others are told of the one before and have it, also on a busy computer.
const (
	swarmRate = "4mbit"   // 2.5 MiB in 5 s
	slowRate  = "512kbit" // 256 KiB in 4 s: until members are stopped
	fastRate  = "8mbit"   // from then on
)

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
func newSwarm(t *testing.T, agents int, rate string) *swarm {
	t.Helper()
	s := &swarm{site: newSite(t)}
	s.must("site", "set", "lyon", "--wan-rate", rate, "--pace", "rate")
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

// meets waits until an agent has so many neighbours.
func (s *swarm) meets(agent *stage.Member, neighbours int) {
	s.Helper()
	s.waitFor(fmt.Sprintf("%d neighbours of %s", neighbours, agent.State), func() bool {
		return s.stands(agent).Swarm.Neighbours == neighbours
	})
}

// tell builds a package of fragments of so many KiB, the last of a few, activates it as the flags say, and affects it
// to every agent.
func (s *swarm) tell(fragments, fragmentKiB int, flags ...string) parcel {
	s.Helper()
	file := s.script("true", fragmentKiB<<10*(fragments-1)+1000)
	id := s.build("--action", "LAUNCH", "--command", "run.sh", "--file", file, "--fragment-size", fmt.Sprint(fragmentKiB, "KiB"))
	s.must(append([]string{"activation", "create", "--package", id}, flags...)...)
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
	one := s.source(agent, p)
	return one.Origin, one.Members
}

// source returns what an agent shows of a package's bytes.
func (s *swarm) source(agent *stage.Member, p parcel) (found sourceStatus) {
	s.Helper()
	for _, one := range s.stands(agent).Sources {
		if one.Package == p.id {
			return one
		}
	}
	return sourceStatus{}
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
	s := newSwarm(t, 4, swarmRate)
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
	for _, agent := range []*stage.Member{s.agents[0], late} {
		s.waitFor("R to be shown", func() bool { return s.source(agent, p).Copies == 1 })
	}
	if !strings.Contains(s.fullLog(late), "info file had from a member") {
		t.Error("the late one asked the server for the info file")
	}
	if err := s.server.Stop(); err != nil { // so that the ledger is whole
		t.Fatal(err)
	}
	s.crossed(p, 0)
}

// even waits until all agents have as many fragments of a package, and at least some. What one of them has alone then
// is what it has got since it last showed itself.
func (s *swarm) even(p parcel, least int) {
	s.Helper()
	s.waitFor("as much at each agent", func() bool {
		has := map[int]bool{}
		for _, agent := range s.agents {
			has[s.has(agent, p.id)] = true
		}
		for n := range has {
			return len(has) == 1 && n >= least
		}
		return false
	})
}

// TestSwarmServerLost: the server dies when the site has one copy. An agent that slept meanwhile, and one that was
// killed and starts anew, complete the package from the others and run it; results come when the server is back.
func TestSwarmServerLost(t *testing.T) {
	s := newSwarm(t, 4, slowRate)
	p := s.tell(12, 256) // of 50 s, would the rate stay
	asleep, killed := s.agents[2], s.agents[3]
	s.even(p, 1)
	if err := syscall.Kill(asleep.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(asleep.PID(), syscall.SIGCONT) })
	if err := killed.Kill(); err != nil {
		t.Fatal(err)
	}
	s.must("site", "set", "lyon", "--wan-rate", fastRate)
	s.succeeds(p, 2)
	s.waitFor("the ledger, of which a second may be lost with the server", func() bool {
		sent, _ := s.sent("lyon")
		total := int64(0)
		for _, bytes := range sent {
			total += bytes
		}
		return total >= p.size
	})
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

// TestSwarmHolderKilled: an agent is killed in the middle; that costs what was on its way to it and what it had not
// announced yet. When it is back, it gets from members what they have.
func TestSwarmHolderKilled(t *testing.T) {
	s := newSwarm(t, 3, slowRate)
	p := s.tell(12, 256) // of 50 s, would the rate stay
	victim := s.agents[1]
	s.even(p, p.fragments/3)
	if err := victim.Kill(); err != nil {
		t.Fatal(err)
	}
	s.must("site", "set", "lyon", "--wan-rate", fastRate)
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

// TestSwarmRevoked: an agent is revoked while a fragment is on its way to it. Another one is sent that at once, not
// when the body would be overdue.
func TestSwarmRevoked(t *testing.T) {
	s := newSwarm(t, 2, slowRate)
	// A fragment takes half a minute while two are sent. There are no plain files, which are anybody's: the port for plain
	// HTTP is this server's too, and nobody speaks HTTPS there.
	p := s.tell(5, 1024, "--force", "--fragments-url", strings.TrimPrefix(s.server.HTTP, "http://")+"/download")
	s.waitFor("a fragment on its way to each", func() bool {
		bytes, _ := s.sent("lyon")
		fetching := map[id.Peer]bool{}
		for _, entry := range s.entries("lyon") {
			if n := bytes[entry.Fragment]; n > 64<<10 && n < 1<<20-64<<10 {
				fetching[entry.Member] = true
			}
		}
		return len(fetching) == 2
	})
	s.must("agent", "revoke", s.devices[1])
	s.must("site", "set", "lyon", "--wan-rate", fastRate)
	s.succeeds(p, 1)
	if err := s.server.Stop(); err != nil { // so that the ledger is whole
		t.Fatal(err)
	}
	var totals lease.Totals
	lent, again := map[core.FragmentIndex]id.Peer{}, 0
	for _, entry := range s.entries("lyon") {
		totals.Add(entry)
		if !entry.Begins {
			continue
		}
		if first := lent[entry.Fragment]; first == entry.Member {
			t.Errorf("fragment %d was lent to %s again", entry.Fragment, first)
		} else if first != (id.Peer{}) {
			again++
		}
		lent[entry.Fragment] = entry.Member
	}
	t.Logf("%+v, %d fragments lent again", totals, again)
	lost := totals.Extra[lease.CauseOwnerLost]
	if totals.First != p.size || totals.Sent() != totals.First+lost || again == 0 || again > 2 || lost == 0 {
		t.Errorf("%+v went into the site, want %d bytes and what the revoked agent had", totals, p.size)
	}
}
