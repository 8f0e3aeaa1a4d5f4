package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// A space is a network namespace that this process holds open, and the way to change what is in it.
type space struct {
	name   string
	handle netns.NsHandle
	net    *netlink.Handle
}

// settings are files of /proc/sys/net and what each namespace has in them. What a kernel lacks is left out.
var settings = map[string]string{
	"ipv6/conf/all/disable_ipv6":     "1",
	"ipv6/conf/default/disable_ipv6": "1",
	"ipv4/tcp_no_metrics_save":       "1", // one connection must not profit from what another has learned
	"ipv4/ping_group_range":          "0 2147483647",
}

// newSpace makes a namespace; forward makes it a router. The thread that enters it comes back: a program whose
// starting thread ends would be ended with it, see [Lab.Command].
func newSpace(name string, forward bool) (s *space, err error) {
	runtime.LockOSThread()
	own, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	defer own.Close()
	defer func() {
		if back := netns.Set(own); back != nil {
			err = errors.Join(err, fmt.Errorf("host %s: come back from its namespace: %w", name, back))
			return // still locked: the thread ends with its goroutine, and nobody else runs in there
		}
		runtime.UnlockOSThread()
	}()
	handle, err := netns.New()
	if err != nil {
		return nil, fmt.Errorf("host %s: make a network namespace: %w", name, err)
	}
	s = &space{name: name, handle: handle}
	for file, value := range settings {
		err = errors.Join(err, write(file, value))
	}
	if forward {
		err = errors.Join(err, write("ipv4/ip_forward", "1"))
	}
	if err == nil {
		s.net, err = netlink.NewHandle()
	}
	if err == nil {
		err = s.up("lo")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("host %s: %w", name, err), s.close())
	}
	return s, nil
}

// write sets a file of /proc/sys/net for the namespace of the calling thread.
func write(file, value string) error {
	err := os.WriteFile("/proc/sys/net/"+file, []byte(value), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// inside runs do on a thread that is in the namespace.
func (s *space) inside(do func() error) (err error) {
	runtime.LockOSThread()
	own, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer own.Close()
	defer func() {
		if back := netns.Set(own); back != nil {
			err = errors.Join(err, back)
			return // still locked, as in newSpace
		}
		runtime.UnlockOSThread()
	}()
	if err := netns.Set(s.handle); err != nil {
		return err
	}
	return do()
}

// path names the namespace for other programs, while this process lives.
func (s *space) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(s.handle)) }

// link finds a device.
func (s *space) link(name string) (netlink.Link, error) {
	link, err := s.net.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("host %s: device %s: %w", s.name, name, err)
	}
	return link, nil
}

func (s *space) up(name string) error {
	link, err := s.link(name)
	if err != nil {
		return err
	}
	return s.net.LinkSetUp(link)
}

func (s *space) down(name string) error {
	link, err := s.link(name)
	if err != nil {
		return err
	}
	return s.net.LinkSetDown(link)
}

// close lets go of the namespace; it ends when no process is left in it.
func (s *space) close() error {
	if s.net != nil {
		s.net.Close()
	}
	return s.handle.Close()
}
