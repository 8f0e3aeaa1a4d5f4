package ocsapi

import (
	"context"
	"net"
	"sync"
)

// Bounds of messages that are being received. Each may hold ocs.MaxBody bytes, though nearly all hold less
// than 50 KB, for as long as requestTimeout.
const (
	maxReceiving = 256
	maxFromOne   = 32 // from one address: a whole site may be behind it, but no slow sender may block others
)

// A gate lets in so many at once in all, and so many from each address. The zero gate is closed; use
// newGate. Whoever finds it full waits.
type gate struct {
	all chan struct{}

	mu   sync.Mutex // guards from; not held while anybody waits
	from map[string]*addressGate
}

// An addressGate is the part of a gate that one address has, while it uses it.
type addressGate struct {
	slots chan struct{}
	users int // that hold a slot or wait for one
}

func newGate() *gate {
	return &gate{all: make(chan struct{}, maxReceiving), from: map[string]*addressGate{}}
}

// enter waits for a place for the remote address. The caller calls leave, unless the error is not nil: then
// ctx ended first.
func (g *gate) enter(ctx context.Context, remote string) (leave func(), err error) {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	own := g.use(host)
	select {
	case own.slots <- struct{}{}:
	case <-ctx.Done():
		g.unuse(host, own)
		return nil, ctx.Err()
	}
	select {
	case g.all <- struct{}{}:
	case <-ctx.Done():
		<-own.slots
		g.unuse(host, own)
		return nil, ctx.Err()
	}
	return func() {
		<-g.all
		<-own.slots
		g.unuse(host, own)
	}, nil
}

func (g *gate) use(host string) *addressGate {
	g.mu.Lock()
	defer g.mu.Unlock()
	own := g.from[host]
	if own == nil {
		own = &addressGate{slots: make(chan struct{}, maxFromOne)}
		g.from[host] = own
	}
	own.users++
	return own
}

func (g *gate) unuse(host string, own *addressGate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(g.from, host)
	}
}
