package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"enjambre/core"
)

// Command returns a command that runs in a host's network: its files, users and environment are the machine's. It is
// the leader of a process group, and is killed when ctx or this process ends.
func (l *Lab) Command(ctx context.Context, host, name string, args ...string) *exec.Cmd {
	s, found := l.spaces[host]
	if !found {
		return &exec.Cmd{Path: name, Args: append([]string{name}, args...), Err: fmt.Errorf("lab: there is no host %q", host)}
	}
	// nsenter becomes the program, so that the process is the program's.
	command := exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + s.path(), "--", name}, args...)...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return command
}

// Counters returns what has crossed the WAN links so far, in the order of the topology.
func (l *Lab) Counters() ([]Counter, error) {
	router := l.spaces["core"]
	counters := make([]Counter, 0, len(l.sites))
	for i, site := range l.sites {
		down, err := received(site.gateway, "wan0")
		if err != nil {
			return nil, err
		}
		up, err := received(router, fmt.Sprint("wan", i))
		if err != nil {
			return nil, err
		}
		counters = append(counters, Counter{
			Site: site.Name, Down: down, Up: up,
			Sideways: Traffic{site.wire.sidewaysBytes.Load(), site.wire.sidewaysPackets.Load()},
		})
	}
	return counters, nil
}

func received(s *space, device string) (Traffic, error) {
	link, err := s.link(device)
	if err != nil {
		return Traffic{}, err
	}
	statistics := link.Attrs().Statistics
	if statistics == nil {
		return Traffic{}, fmt.Errorf("host %s: device %s has no counters", s.name, device)
	}
	return Traffic{Bytes: statistics.RxBytes, Packets: statistics.RxPackets}, nil
}

// Cut makes a site's WAN lose everything, in both directions, as a cut line does: nobody is told.
func (l *Lab) Cut(site core.SiteName) error { return l.setCut(site, true) }

// Mend takes a Cut back.
func (l *Lab) Mend(site core.SiteName) error { return l.setCut(site, false) }

func (l *Lab) setCut(name core.SiteName, cut bool) error {
	for _, site := range l.sites {
		if site.Name == name {
			site.wire.cut.Store(cut)
			return nil
		}
	}
	return fmt.Errorf("lab: there is no site %q", name)
}

// PullCable takes a host from its LAN. The host sees that its carrier is gone.
func (l *Lab) PullCable(host string) error { return l.setCable(host, (*space).down) }

// Plug takes a PullCable back, and returns when the cable carries again.
func (l *Lab) Plug(host string) error {
	return l.setCable(host, func(gateway *space, device string) error {
		ctx, cancel := context.WithTimeout(context.Background(), linkTimeout)
		defer cancel()
		return errors.Join(gateway.up(device), gateway.await(ctx, device))
	})
}

// nowhere is an Ethernet address that nobody has.
var nowhere = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x99}

// Isolate makes everything that a host sends to some other hosts of its site vanish, to all of them if none is named, as a
// Wi-Fi with client isolation or a firewall between computers does: nobody is told. The gateway, and so the server, is
// reached as before. Hosts are known by the addresses that they had when the lab was made.
func (l *Lab) Isolate(host string, from ...string) error {
	return l.eachWay(host, from, func(s *space, way *netlink.Neigh) error {
		way.State, way.HardwareAddr = netlink.NUD_PERMANENT, nowhere
		return s.net.NeighSet(way)
	})
}

// Unite takes an Isolate back.
func (l *Lab) Unite(host string, with ...string) error {
	return l.eachWay(host, with, func(s *space, way *netlink.Neigh) error { return s.net.NeighDel(way) })
}

// eachWay changes the ways from a host to others of its site.
func (l *Lab) eachWay(host string, to []string, change func(*space, *netlink.Neigh) error) error {
	s, found := l.spaces[host]
	if !found {
		return fmt.Errorf("lab: there is no host %q", host)
	}
	link, err := s.link("eth0")
	if err != nil {
		return err
	}
	for i, site := range l.sites {
		if !strings.HasPrefix(host, string(site.Name)+"-") {
			continue
		}
		for number := 1; number <= site.Hosts; number++ {
			other := site.Host(number)
			if other == host || len(to) > 0 && !slices.Contains(to, other) {
				continue
			}
			way := &netlink.Neigh{LinkIndex: link.Attrs().Index, IP: HostAddress(i, number).AsSlice()}
			if err := change(s, way); err != nil {
				return fmt.Errorf("host %s: the way to %s: %w", host, other, err)
			}
		}
	}
	return nil
}

func (l *Lab) setCable(host string, change func(*space, string) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	plugged, found := l.cables[host]
	if !found {
		return fmt.Errorf("lab: no site has a host %q", host)
	}
	return change(plugged.gateway, plugged.device)
}

// Bounds of how long processes may take to end.
const (
	politely = 2 * time.Second // after SIGTERM
	forcibly = 5 * time.Second // after SIGKILL
)

// endProcesses ends every process whose network is one of the lab's, but this one.
func (l *Lab) endProcesses() error {
	ours := map[uint64]bool{}
	for _, s := range l.spaces {
		var stat unix.Stat_t
		if err := unix.Fstat(int(s.handle), &stat); err != nil {
			return err
		}
		ours[stat.Ino] = true
	}
	for _, step := range []struct {
		signal  syscall.Signal
		patient time.Duration
	}{{syscall.SIGTERM, politely}, {syscall.SIGKILL, forcibly}} {
		for _, pid := range processesIn(ours) {
			_ = syscall.Kill(pid, step.signal) // it may have ended by itself
		}
		for deadline := time.Now().Add(step.patient); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if len(processesIn(ours)) == 0 {
				return nil
			}
		}
	}
	return errors.New("lab: a process does not end, even when it is killed")
}

// processesIn finds processes by their network namespace. Those that have ended and wait for their parent have none.
func processesIn(spaces map[uint64]bool) []int {
	found, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	var pids []int
	for _, path := range found {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		var stat unix.Stat_t
		if err == nil && pid != os.Getpid() && unix.Stat(path, &stat) == nil && spaces[stat.Ino] {
			pids = append(pids, pid)
		}
	}
	return pids
}
