package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"enjambre/core"
)

// heldLab in the environment makes this test's program a maker of a lab that waits to be killed.
const heldLab = "LAB_TEST_HELD"

func TestMain(m *testing.M) {
	if os.Getenv(heldLab) != "" {
		os.Exit(hold())
	}
	os.Exit(m.Run())
}

// started makes a lab of sites, and removes it when the test ends.
func started(t *testing.T, sites ...Site) *Lab {
	t.Helper()
	if err := Check(); err != nil {
		t.Skip(err)
	}
	lab, err := Up(t.Context(), Topology{Sites: sites})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Down(); err != nil {
			t.Error(err)
		}
	})
	return lab
}

// socket opens a UDP socket at a host.
func socket(t *testing.T, lab *Lab, host string, address netip.Addr) *net.UDPConn {
	t.Helper()
	var conn *net.UDPConn
	err := lab.spaces[host].inside(func() (err error) {
		conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(address, 9000)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// first is a socket of a site's first host.
func first(index int) netip.AddrPort { return netip.AddrPortFrom(HostAddress(index, 1), 9000) }

func counters(t *testing.T, lab *Lab) []Counter {
	t.Helper()
	found, err := lab.Counters()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// echo answers every packet until the socket is closed.
func echo(conn *net.UDPConn) {
	buffer := make([]byte, maxPacket)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		_, _ = conn.WriteToUDPAddrPort(buffer[:n], from)
	}
}

const (
	lost     = 400 * time.Millisecond // after which an echo does not come any more: twice the longest round trip
	patience = time.Minute            // with what must come, however busy the computer is
)

// ping sends one packet of size bytes of payload, at least 8, and waits for its echo.
func ping(conn *net.UDPConn, to netip.AddrPort, size int, most time.Duration) (time.Duration, error) {
	began := time.Now()
	sent, came := make([]byte, size), make([]byte, maxPacket)
	binary.BigEndian.PutUint64(sent, rand.Uint64()) // the echo of an earlier one may come late
	if _, err := conn.WriteToUDPAddrPort(sent, to); err != nil {
		return 0, err
	}
	if err := conn.SetReadDeadline(began.Add(most)); err != nil {
		return 0, err
	}
	for {
		n, _, err := conn.ReadFromUDPAddrPort(came)
		if err != nil || bytes.Equal(came[:n], sent) {
			return time.Since(began), err
		}
	}
}

// TestDelayAndCounters: round trips take what they should, the quickest of some hundred at most, and every byte is
// counted once, where it crossed.
func TestDelayAndCounters(t *testing.T) {
	lab := started(t,
		Site{Name: "near", Hosts: 1, Down: 10_000_000, Up: 10_000_000, RTT: 30 * time.Millisecond},
		Site{Name: "far", Hosts: 1, Down: 10_000_000, Up: 10_000_000, RTT: 200 * time.Millisecond})
	server := socket(t, lab, ServerHost, ServerAddress)
	for i, want := range []time.Duration{30 * time.Millisecond, 200 * time.Millisecond} {
		go echo(socket(t, lab, fmt.Sprint(lab.sites[i].Name, "-1"), first(i).Addr()))
		before := counters(t, lab)
		least, most := time.Hour, want+want/10+2*time.Millisecond
		const size = 972
		pings := uint64(0)
		for ; pings < 10 || least > most && pings < 200; pings++ {
			took, err := ping(server, first(i), size, patience)
			if err != nil {
				t.Fatal(err)
			}
			least = min(least, took)
		}
		if least < want || least > most {
			t.Errorf("round trip %v, want %v", least, want)
		}
		expected := Traffic{Bytes: pings * (size + 28), Packets: pings}
		if got := before[i].Sideways; got != (Traffic{}) {
			t.Errorf("from site %d to other sites: %v", i, got)
		}
		after := counters(t, lab)
		for j := range after {
			down, up := minus(after[j].Down, before[j].Down), minus(after[j].Up, before[j].Up)
			if j == i && (down != expected || up != expected) || j != i && (down != Traffic{} || up != Traffic{}) {
				t.Errorf("pings to site %d: at site %d came %v, from it %v", i, j, down, up)
			}
		}
	}
}

// TestSideways: what sites send to each other is told from what they send to the server.
func TestSideways(t *testing.T) {
	lab := started(t,
		Site{Name: "a", Hosts: 1, Down: 10_000_000, Up: 10_000_000},
		Site{Name: "b", Hosts: 1, Down: 10_000_000, Up: 10_000_000})
	conn := socket(t, lab, "a-1", first(0).Addr())
	go echo(socket(t, lab, "b-1", first(1).Addr()))
	go echo(socket(t, lab, ServerHost, ServerAddress))
	for _, to := range []netip.AddrPort{first(1), netip.AddrPortFrom(ServerAddress, 9000)} {
		if _, err := ping(conn, to, 100, patience); err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range counters(t, lab) {
		if want := (Traffic{Bytes: 128, Packets: 1}); one.Sideways != want {
			t.Errorf("from site %s to other sites: got %v, want %v", one.Site, one.Sideways, want)
		}
	}
}

func minus(a, b Traffic) Traffic { return Traffic{a.Bytes - b.Bytes, a.Packets - b.Packets} }

// TestBroken: cut lines and pulled cables lose everything, mended ones carry again; nobody else notices.
func TestBroken(t *testing.T) {
	lab := started(t,
		Site{Name: "a", Hosts: 2, Down: 10_000_000, Up: 10_000_000},
		Site{Name: "b", Hosts: 1, Down: 10_000_000, Up: 10_000_000})
	second := netip.AddrPortFrom(first(0).Addr().Next(), 9000)
	server, neighbour := socket(t, lab, ServerHost, ServerAddress), socket(t, lab, "a-1", first(0).Addr())
	go echo(socket(t, lab, "a-2", second.Addr()))
	go echo(socket(t, lab, "b-1", first(1).Addr()))
	for _, step := range []struct {
		what                string
		change              func() error
		wan, lan, otherSite bool
	}{
		{"all is well", func() error { return nil }, true, true, true},
		{"the line is cut", func() error { return lab.Cut("a") }, false, true, true},
		{"the line is mended", func() error { return lab.Mend("a") }, true, true, true},
		{"a cable is pulled", func() error { return lab.PullCable("a-2") }, false, false, true},
		{"and plugged in", func() error { return lab.Plug("a-2") }, true, true, true},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		for _, reach := range []struct {
			from *net.UDPConn
			to   netip.AddrPort
			want bool
		}{{server, second, step.wan}, {neighbour, second, step.lan}, {server, first(1), step.otherSite}} {
			_, err := ping(reach.from, reach.to, 100, lost)
			for again := 0; reach.want && err != nil && again < 100; again++ { // a host's address is asked for each second
				_, err = ping(reach.from, reach.to, 100, lost)
			}
			if (err == nil) != reach.want {
				t.Errorf("%s: from %v to %v: got %v, want %v", step.what, reach.from.LocalAddr(), reach.to, err, reach.want)
			}
		}
	}
	elsewhere := lab.Command(t.Context(), "c-1", "true").Run()
	for _, err := range []error{lab.Cut("c"), lab.PullCable("a-3"), lab.Plug(ServerHost), elsewhere} {
		if err == nil || !strings.Contains(err.Error(), "lab: ") {
			t.Errorf("of what is not there: got %v", err)
		}
	}
}

// TestMove: a host that was carried to another site is reached there and nowhere else, and what it sends goes from there.
func TestMove(t *testing.T) {
	lab := started(t,
		Site{Name: "a", Hosts: 2, Down: 10_000_000, Up: 10_000_000},
		Site{Name: "b", Hosts: 1, Down: 10_000_000, Up: 10_000_000})
	left, there := socket(t, lab, "a-1", first(0).Addr()), socket(t, lab, "b-1", first(1).Addr())
	go echo(socket(t, lab, "a-2", netip.IPv4Unspecified()))
	before := netip.AddrPortFrom(HostAddress(0, 2), 9000)
	if _, err := ping(left, before, 100, patience); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and back
		for _, step := range []struct {
			site   core.SiteName
			within *net.UDPConn
			from   *net.UDPConn
			index  int
		}{{"b", there, left, 1}, {"a", left, there, 0}} {
			address, err := lab.Move("a-2", step.site)
			if err != nil || !Network(step.index).Contains(address) {
				t.Fatalf("move to %s: got %v, %v", step.site, address, err)
			}
			now, sideways := netip.AddrPortFrom(address, 9000), counters(t, lab)[1-step.index].Sideways
			if _, err := ping(step.within, now, 100, patience); err != nil {
				t.Errorf("within site %s: %v", step.site, err)
			}
			if after := counters(t, lab)[1-step.index].Sideways; after != sideways {
				t.Errorf("within site %s: %v crossed a line", step.site, minus(after, sideways))
			}
			if _, err := ping(step.from, now, 100, patience); err != nil {
				t.Errorf("from the other site to %s: %v", step.site, err)
			}
			if _, err := ping(step.from, before, 100, lost); err == nil && before != now {
				t.Error("it answers where it was")
			}
			before = now
		}
	}
	_, unknown := lab.Move("a-2", "c")
	_, nobody := lab.Move("c-1", "a")
	for _, err := range []error{unknown, nobody} {
		if err == nil || !strings.Contains(err.Error(), "lab: ") {
			t.Errorf("of what is not there: got %v", err)
		}
	}
}

// TestConfined: no host has a way out, commands run inside, and our own namespace stays as it is.
func TestConfined(t *testing.T) {
	if err := Check(); err != nil {
		t.Skip(err)
	}
	before := ownNetwork(t)
	lab := started(t, Site{Name: "a", Hosts: 2, Down: 10_000_000, Up: 10_000_000})
	for name, s := range lab.spaces {
		routes, err := s.net.RouteList(nil, netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		for _, route := range routes {
			if route.Dst == nil || route.Dst.IP.IsUnspecified() {
				t.Errorf("host %s has a default route: %v", name, route)
			}
		}
	}
	output, err := lab.Command(t.Context(), "a-2", "cat", "/proc/net/fib_trie").CombinedOutput()
	if err != nil || !strings.Contains(string(output), "10.86.1.12") {
		t.Errorf("a command in a host: %v\n%s", err, output)
	}
	if after := ownNetwork(t); after != before {
		t.Errorf("our own network was\n%s\nand is\n%s", before, after)
	}
}

// ownNetwork describes the devices and routes of our own namespace.
func ownNetwork(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		fmt.Fprintln(&text, link.Attrs().Index, link.Attrs().Name, link.Attrs().Flags)
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range routes {
		fmt.Fprintln(&text, route)
	}
	return text.String()
}

// TestDown: a lab ends the processes in it, also those that do not listen, and those that a command left behind.
func TestDown(t *testing.T) {
	lab := started(t, Site{Name: "a", Hosts: 1, Down: 10_000_000, Up: 10_000_000})
	script := `trap "" TERM; sleep 600 & echo $!; echo ready; while :; do sleep 1; done`
	command := lab.Command(t.Context(), "a-1", "sh", "-c", script)
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	left, err := strconv.Atoi(lines.Text())
	if err != nil || !lines.Scan() {
		t.Fatalf("the command said %q, %v", lines.Text(), err)
	}
	if err := lab.Down(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := command.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("got %v, want a killed process", err)
	}
	waitGone(t, left)
}

// waitGone waits until a process has ended.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(status), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}

// hold makes a lab with a process in it, says its ID and waits.
func hold() int {
	lab, err := Up(context.Background(), Topology{Sites: []Site{{Name: "a", Hosts: 1, Down: 10_000_000, Up: 10_000_000}}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	command := lab.Command(context.Background(), "a-1", "sleep", "600")
	if err := command.Start(); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(command.Process.Pid)
	select {}
}

// TestKilled: of a lab whose maker is killed nothing is left.
func TestKilled(t *testing.T) {
	if err := Check(); err != nil {
		t.Skip(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	maker := exec.Command(self)
	maker.Env = append(os.Environ(), heldLab+"=1")
	stdout, err := maker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := maker.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	inside, err := strconv.Atoi(lines.Text())
	if killed := maker.Process.Kill(); err != nil || killed != nil {
		t.Fatalf("the maker said %q: %v, %v", lines.Text(), err, killed)
	}
	_ = maker.Wait() // killed, as asked
	waitGone(t, inside)
}
