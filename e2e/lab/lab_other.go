//go:build !linux

package lab

import (
	"context"
	"errors"
	"net/netip"
	"os/exec"

	"enjambre/core"
)

var errSystem = errors.New("lab: network namespaces exist on Linux only")

// Check says what this machine lacks for a lab; nil if nothing.
func Check() error { return errSystem }

// A Lab is a network of namespaces. On this system there is none.
type Lab struct{}

// Up always fails: there are no labs on this system.
func Up(context.Context, Topology) (*Lab, error) { return nil, errSystem }

// Down does nothing: there is no lab.
func (l *Lab) Down() error { return errSystem }

// Command returns a command that cannot be started.
func (l *Lab) Command(_ context.Context, _, name string, args ...string) *exec.Cmd {
	return &exec.Cmd{Path: name, Args: args, Err: errSystem}
}

// Counters always fails.
func (l *Lab) Counters() ([]Counter, error) { return nil, errSystem }

// Cut always fails.
func (l *Lab) Cut(core.SiteName) error { return errSystem }

// Mend always fails.
func (l *Lab) Mend(core.SiteName) error { return errSystem }

// PullCable always fails.
func (l *Lab) PullCable(string) error { return errSystem }

// Plug always fails.
func (l *Lab) Plug(string) error { return errSystem }

// Isolate always fails.
func (l *Lab) Isolate(string, ...string) error { return errSystem }

// Unite always fails.
func (l *Lab) Unite(string, ...string) error { return errSystem }

// Move always fails.
func (l *Lab) Move(string, core.SiteName) (netip.Addr, error) { return netip.Addr{}, errSystem }
