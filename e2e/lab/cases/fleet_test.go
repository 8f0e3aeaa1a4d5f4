package cases

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/wanrate"
	"enjambre/e2e/lab"
	"enjambre/e2e/stage"
	"enjambre/peer/mesh"
)

// A fleet is a server and agents in a laboratory, one agent on each host.
type fleet struct {
	*testing.T
	lab      *lab.Lab
	topology lab.Topology
	server   *stage.Server
	members  []*member
	watch    *watch
	folder   string
	token    string
}

// A member is an agent on a host.
type member struct {
	*stage.Member
	host    string
	address netip.Addr
	site    core.SiteName
	log     *events
}

// A plan is what a fleet is like.
type plan struct {
	sites    []lab.Site
	settings []string // of the deployment, such as "CONTACT_SECONDS 5"; they win over the defaults below
	set      []string // flags of "site set" for every site besides its network
	idle     int      // the last hosts, whose agents call once, so that the server knows them, and are stopped
}

// defaults are settings with which a case takes seconds: agents call often until a package is affected.
var defaults = []string{
	"DOWNLOAD_CYCLE_LATENCY 1", "DOWNLOAD_PERIOD_LATENCY 0", "DOWNLOAD_FRAG_LATENCY 10", "CONTACT_SECONDS 5",
}

// sites makes equal sites: rate in both directions, 30 ms round trip.
func sites(count, hosts int, rate wanrate.Rate) []lab.Site {
	var all []lab.Site
	for i := range count {
		name := core.SiteName(fmt.Sprint("site", i+1))
		all = append(all, lab.Site{Name: name, Hosts: hosts, Down: rate, Up: rate, RTT: 30 * time.Millisecond})
	}
	return all
}

// newFleet makes the lab, starts the server and all agents, and waits until each has called and found its neighbours.
func newFleet(t *testing.T, p plan) *fleet {
	t.Helper()
	skipUnlessAsked(t)
	f := &fleet{T: t, topology: lab.Topology{Sites: p.sites}, folder: t.TempDir()}
	var err error
	if f.lab, err = lab.Up(t.Context(), f.topology); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.end)
	f.startServer(append(append([]string{}, defaults...), p.settings...))
	for i, site := range p.sites {
		f.must(append([]string{"site", "set", string(site.Name), "--network", lab.Network(i).String()}, p.set...)...)
	}
	f.token = f.must("enroll", "token", "--new-site", "--site", string(p.sites[0].Name), "--uses", "1000")
	for i, site := range p.sites {
		for number := 1; number <= site.Hosts; number++ {
			f.members = append(f.members, f.enrol(i, number))
		}
	}
	f.each(f.members, "start", func(m *member) error { return m.Start() })
	f.await(time.Minute, "every agent has called", func() bool {
		for _, m := range f.members {
			if m.log.read(f.T); m.log.contacts == 0 {
				return false
			}
		}
		return true
	})
	if !slices.Contains(p.set, "off") {
		f.await(2*time.Minute, "every agent has found its neighbours", func() bool { return f.haveMet(f.members) })
	}
	f.each(f.members[len(f.members)-p.idle:], "stop", func(m *member) error { return m.Stop() })
	f.watch = watchOver(f.T, f.lab)
	return f
}

// haveMet reports whether each of some members has as many neighbours as its site can give it, or an agent needs.
func (f *fleet) haveMet(members []*member) bool {
	there := map[core.SiteName]int{}
	for _, m := range members {
		there[m.site]++
	}
	for _, m := range members {
		if m.log.read(f.T); m.log.neighbours < min(there[m.site]-1, mesh.MaxNeighbours) {
			return false
		}
	}
	return true
}

// at makes the commands of a host.
func (f *fleet) at(host string) func(context.Context, string, ...string) *exec.Cmd {
	return func(ctx context.Context, name string, args ...string) *exec.Cmd {
		return f.lab.Command(ctx, host, name, args...)
	}
}

// The server's ports.
const httpsPort, httpPort = 8443, 8080

func (f *fleet) startServer(settings []string) {
	f.Helper()
	f.server = &stage.Server{
		Binary: serverProgram, Daemon: serverProgram, Data: filepath.Join(f.folder, "data"), Command: f.at(lab.ServerHost),
	}
	f.must("init", "--host", lab.ServerAddress.String())
	for _, setting := range settings {
		f.must(append([]string{"config", "set"}, strings.Fields(setting)...)...)
	}
	if err := f.server.StartAt(f.Context(), fmt.Sprintf("%v:%d", lab.ServerAddress, httpsPort),
		fmt.Sprintf("%v:%d", lab.ServerAddress, httpPort)); err != nil {
		f.Fatal(err)
	}
}

// must runs a command of the server.
func (f *fleet) must(args ...string) string {
	f.Helper()
	output, err := f.server.Run(f.Context(), args...)
	if err != nil {
		f.Fatal(err)
	}
	return output
}

// enrol makes the agent of a host of a site.
func (f *fleet) enrol(index, number int) *member {
	f.Helper()
	return f.enrolAs(f.topology.Sites[index].Host(number), index, number)
}

// enrolAs makes an agent of a host, with a state folder of that name. Only one agent of a host can run.
func (f *fleet) enrolAs(name string, index, number int) *member {
	f.Helper()
	site := f.topology.Sites[index]
	host := site.Host(number)
	m := &member{
		Member: &stage.Member{Binary: agentProgram, State: filepath.Join(f.folder, name), Command: f.at(host)},
		host:   host, address: lab.HostAddress(index, number), site: site.Name,
	}
	m.log = &events{path: m.State + ".log"}
	if err := m.Enrol(f.Context(), f.server, f.token); err != nil {
		f.Fatal(err)
	}
	return m
}

// each does something with several agents, one after the other.
func (f *fleet) each(members []*member, what string, do func(*member) error) {
	f.Helper()
	for _, m := range members {
		if err := do(m); err != nil {
			f.Fatalf("%s %s: %v", what, m.host, err)
		}
	}
}

// end stops everything, and shows the logs of a case that failed. Whatever a case has done to its agents, the lab
// ends them.
func (f *fleet) end() {
	if f.watch != nil {
		f.watch.stop()
	}
	if keep := os.Getenv("LAB_KEEP"); keep != "" { // a folder for the logs
		f.keepLogs(keep)
	}
	if f.Failed() && len(f.members) > 0 {
		f.Logf("the first agent:\n%s\nthe server:\n%s", f.members[0].Log(), f.server.Log("error.log"))
	}
	if err := f.lab.Down(); err != nil {
		f.Error(err)
	}
}

// keepLogs copies what the programs wrote.
func (f *fleet) keepLogs(to string) {
	to = filepath.Join(to, f.Name())
	if err := os.MkdirAll(to, 0o700); err != nil {
		f.Error(err)
	}
	found, _ := filepath.Glob(filepath.Join(f.folder, "*.log"))
	more, _ := filepath.Glob(filepath.Join(f.server.Data, "logs", "*.log"))
	ledgers, _ := filepath.Glob(filepath.Join(f.server.Data, "swarm", "*"))
	for _, path := range append(append(found, more...), ledgers...) {
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, filepath.Base(path)), data, 0o600)
		}
		if err != nil {
			f.Error(err)
		}
	}
}

// await waits until a condition holds.
func (f *fleet) await(most time.Duration, what string, holds func() bool) {
	f.Helper()
	for deadline := time.Now().Add(most); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.Fatalf("%s: not within %v", what, most)
		}
	}
}

// A payload is a package that was built.
type payload struct {
	id        core.PackageID
	bytes     int64 // of its archive
	fragments int
}

// build builds and activates a package of about that many bytes, which do not shrink; its command does nothing.
func (f *fleet) build(bytes int64, flags ...string) payload {
	f.Helper()
	path := filepath.Join(f.folder, "package.tar.gz")
	size, err := writeArchive(path, bytes)
	if err != nil {
		f.Fatal(err)
	}
	defer os.Remove(path)
	var built struct {
		ID        core.PackageID
		Fragments int
	}
	args := []string{"package", "build", "--name", "lab", "--os", "linux", "--action", "LAUNCH", "--command", "run.sh",
		"--file", path}
	if !strings.Contains(strings.Join(flags, " "), "--priority") {
		args = append(args, "--priority", "1")
	}
	if err := f.server.JSON(f.Context(), &built, append(args, flags...)...); err != nil {
		f.Fatal(err)
	}
	f.must("activation", "create", "--package", built.ID.String())
	return payload{built.ID, size, built.Fragments}
}

// affect tells all computers of a package at their next contact, which is due within seconds, and says when. Later
// contacts are an hour apart, so that they take nothing from the WAN.
func (f *fleet) affect(p payload) time.Time {
	f.Helper()
	f.must("config", "set", "CONTACT_SECONDS", "3600")
	began := time.Now()
	f.must("affect", "--package", p.id.String(), "--query", "os = linux")
	return began
}

// awaitComplete waits until agents have a package whole and verified, and returns when the last had.
func (f *fleet) awaitComplete(most time.Duration, members []*member, p payload) time.Time {
	f.Helper()
	var last time.Time
	f.await(most, fmt.Sprintf("%d agents have package %s", len(members), p.id), func() bool {
		done := 0
		last = time.Time{}
		for _, m := range members {
			m.log.read(f.T)
			if at, complete := m.log.complete[p.id]; complete {
				done++
				if at.After(last) {
					last = at
				}
			}
		}
		return done == len(members)
	})
	return last
}

// awaitSuccess waits until the server knows that so many computers have succeeded.
func (f *fleet) awaitSuccess(most time.Duration, p payload, want int) {
	f.Helper()
	f.await(most, fmt.Sprintf("the results of package %s", p.id), func() bool {
		var rollout struct{ States map[string]int }
		if err := f.server.JSON(f.Context(), &rollout, "rollout", "status", "--package", p.id.String()); err != nil {
			f.Fatal(err)
		}
		return rollout.States["SUCCESS"] == want
	})
}
