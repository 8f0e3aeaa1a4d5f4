package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// Check says what this machine lacks for a lab; nil if nothing. It makes a namespace with one device of each kind,
// and removes it.
func Check() (err error) {
	if os.Geteuid() != 0 {
		return errors.New("lab: network namespaces need root")
	}
	if _, err := exec.LookPath("nsenter"); err != nil {
		return errors.New("lab: there is no nsenter: install util-linux")
	}
	probe, err := newSpace("probe", false)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	defer func() { err = errors.Join(err, probe.close()) }()
	peer, err := newSpace("probe-peer", false)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	defer func() { err = errors.Join(err, peer.close()) }()
	tun, err := openTun(probe, "wan0")
	if err != nil {
		return fmt.Errorf("lab: no TUN devices: %w", err)
	}
	defer func() { err = errors.Join(err, tun.Close()) }()
	for _, need := range []struct {
		what string
		try  func() error
	}{
		{"veth devices", func() error { return cable(probe, "p1", peer) }},
		{"bridges", func() error { return probe.bridge("br0") }},
		{"TBF queues", func() error { return probe.shape("wan0", 1_000_000, time.Second) }},
	} {
		if err := need.try(); err != nil {
			return fmt.Errorf("lab: the kernel has no %s: %w", need.what, err)
		}
	}
	return nil
}
