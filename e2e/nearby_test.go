package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	network "enjambre/e2e/lab"
	"enjambre/e2e/stage"
)

// newRemoteSite starts a server and enrols agents of one site, each on a computer of its own in a network of
// namespaces.
func newRemoteSite(t *testing.T, agents int) *swarm {
	t.Helper()
	t.Parallel()
	if err := network.Check(); err != nil {
		t.Skip(err)
	}
	here := network.Site{Name: "lyon", Hosts: agents, Down: 20_000_000, Up: 20_000_000}
	net, err := network.Up(t.Context(), network.Topology{Sites: []network.Site{here}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := net.Down(); err != nil {
			t.Error(err)
		}
	})
	at := func(host string) func(context.Context, string, ...string) *exec.Cmd {
		return func(ctx context.Context, name string, args ...string) *exec.Cmd {
			return net.Command(ctx, host, name, args...)
		}
	}
	folder := t.TempDir()
	server := &stage.Server{
		Binary: binary, Daemon: daemon, Data: filepath.Join(folder, "data"), Command: at(network.ServerHost),
	}
	s := &swarm{site: &site{base: base{T: t, server: server, folder: folder}}}
	s.must("init", "--host", network.ServerAddress.String())
	for _, setting := range []string{
		"DOWNLOAD_CYCLE_LATENCY 1", "DOWNLOAD_FRAG_LATENCY 0", "DOWNLOAD_PERIOD_LATENCY 0", "CONTACT_SECONDS 5",
	} {
		s.must(append([]string{"config", "set"}, strings.Fields(setting)...)...)
	}
	address := network.ServerAddress.String()
	if err := server.StartAt(t.Context(), address+":8443", address+":8080"); err != nil {
		t.Fatal(err)
	}
	s.must("site", "set", "lyon", "--network", network.Network(0).String(), "--wan-rate", swarmRate, "--pace", "rate")
	token := s.must("enroll", "token", "--new-site", "--site", "lyon", "--uses", fmt.Sprint(agents))
	for number := range agents {
		agent := &stage.Member{
			Binary: agentBinary, State: filepath.Join(folder, fmt.Sprint("state", number+1)), Command: at(here.Host(number + 1)),
		}
		if err := agent.Enrol(t.Context(), server, token); err != nil {
			t.Fatal(err)
		}
		device, err := agent.Device()
		if err != nil {
			t.Fatal(err)
		}
		s.agents, s.devices = append(s.agents, agent), append(s.devices, device)
		t.Cleanup(func() {
			_ = agent.Kill() // before its network goes
			if t.Failed() {
				t.Logf("%s:\n%s", agent.State, agent.Log())
			}
		})
	}
	s.member = s.agents[0]
	return s
}

// forgetMembers makes an agent that does not run forget where other members were.
func (s *swarm) forgetMembers(agent *stage.Member) {
	s.Helper()
	path := filepath.Join(agent.State, "site.json")
	known := map[string]any{}
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &known)
	}
	if err != nil || known["ticket"] == nil {
		s.Fatalf("%s: %v\n%s", path, err, data)
	}
	delete(known, "members")
	if data, err = json.Marshal(known); err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		s.Fatal(err)
	}
}

// TestNearby: the server is gone and nobody knows where any member is. Two agents find each other by mDNS, and one has
// from the other the rest of what both were told of; a third without mDNS stays alone.
func TestNearby(t *testing.T) {
	s := newRemoteSite(t, 3)
	whole, rest, deaf := s.agents[0], s.agents[1], s.agents[2]
	for _, agent := range s.agents {
		s.begin(agent)
	}
	for _, agent := range s.agents {
		s.meets(agent, 2)
	}
	p := s.tell(12, 256)
	for _, agent := range []*stage.Member{rest, deaf} {
		s.waitFor("the first fragments", func() bool { return s.has(agent, p.id) > 0 })
		if err := agent.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	s.succeeds(p, 1)
	if err := s.server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := whole.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, agent := range s.agents {
		s.forgetMembers(agent)
		agent.MDNS = agent != deaf
		s.begin(agent)
	}
	s.meets(whole, 1)
	s.meets(rest, 1)
	s.waitFor("the end without server", func() bool {
		status := s.stands(rest)
		return status.Process == rest.PID() && len(status.Packages) == 0
	})
	if _, members := s.sources(rest, p); members == 0 {
		t.Error("nothing came from members")
	}
	status, found := s.stands(deaf), s.stands(whole).Swarm.Nearby
	if found == nil || *found != 1 {
		t.Errorf("found by mDNS: %v", found)
	}
	if status.Process != deaf.PID() || status.Swarm.Site != "lyon" || status.Swarm.Members != 0 ||
		status.Swarm.Neighbours != 0 || status.Swarm.Nearby != nil || len(status.Packages) != 1 {
		t.Errorf("without mDNS: %+v", status)
	}
}
