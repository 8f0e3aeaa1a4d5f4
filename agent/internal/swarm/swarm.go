// Package swarm carries out what peer decides: it speaks peer/wire with the members that peer/link connects, tells the
// owner of the downloads what they announce, fetches fragments from them, and serves them from the vault.
//
// Every connection has one control stream, on which both sides say what they hold: a Bitmap of each package that
// they share when they meet or a package comes, Have for what is new, Drop for what is gone. A fragment is one stream:
// an Ask, its answer, the bytes. Whoever serves hashes nothing: what is in the vault was verified, and who receives
// verifies it again.
//
// Nothing here decides. What neighbours say reaches the owner of the peer.Downloads as [Report]s, in order for each
// neighbour; the owner answers with the methods.
//
// # Bounds
//
// [UploadSlots] fragments are served at once, whoever asks; more get a Busy that says when to come again. A neighbour that
// takes nothing for [stallTime] is given up; a frame that is malformed or out of place ends its connection. At most
// [maxQueue] frames wait for a neighbour that is slow to take them; one that lets them pile up is disconnected.
package swarm

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"enjambre/agent/internal/vault"
	"enjambre/core"
	"enjambre/peer"
	"enjambre/peer/id"
	"enjambre/peer/link"
	"enjambre/peer/owner"
	"enjambre/peer/wire"
)

// Bounds.
const (
	UploadSlots = 4                // fragments served at once (wired; Wi-Fi would have 1)
	MaxShared   = 1024             // packages shared at once; others are not told of
	stallTime   = 10 * time.Second // without a byte in either direction
	minBusy     = 20 * time.Millisecond
	maxQueue    = 256
	maxServed   = 64 // asks that are answered at once, with Busy at least
)

// A Report is something that concerns one package's download. Leaving neighbours are reported for no package.
type Report struct {
	Info  core.Digest // zero: all packages
	Event peer.Event
}

// Options are what a Swarm needs; all but Log are required.
type Options struct {
	Host   *link.Host
	Vault  *vault.Vault
	Weight func(id.Peer) owner.Weight // of a member that was greeted
	Random *rand.Rand                 // of the times after which who was turned away comes again
	Log    *slog.Logger               // nil discards
}

// A Swarm is this agent's part in its site's swarm. Its methods may be called at any time while Run runs.
type Swarm struct {
	options Options
	reports chan Report
	uploads chan struct{} // a place for each slot
	served  chan struct{} // a place for each ask

	mu         sync.Mutex
	neighbours map[id.Peer]*neighbour
	shared     map[core.Digest]bool
}

// A neighbour is a member whose control stream we have.
type neighbour struct {
	control link.Stream
	frames  chan wire.Frame // to be sent
}

// New returns a Swarm. Run makes it work.
func New(options Options) *Swarm {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	return &Swarm{
		options: options, reports: make(chan Report), uploads: make(chan struct{}, UploadSlots),
		served: make(chan struct{}, maxServed), neighbours: map[id.Peer]*neighbour{}, shared: map[core.Digest]bool{},
	}
}

// Reports returns what neighbours say. Somebody must receive, or neighbours are not heard.
func (s *Swarm) Reports() <-chan Report { return s.reports }

// Run talks with whoever is greeted and serves whoever asks, until ctx ends; it returns when nothing of it runs.
func (s *Swarm) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		for {
			asked, err := s.options.Host.Accept(ctx)
			if err != nil {
				return
			}
			select {
			case s.served <- struct{}{}:
				running.Go(func() { defer func() { <-s.served }(); s.serve(ctx, asked) })
			default:
				_ = asked.Reset()
			}
		}
	})
	for {
		control, err := s.options.Host.Greeted(ctx)
		if err != nil {
			return
		}
		running.Go(func() { s.converse(ctx, control) })
	}
}

// converse holds one neighbour's control stream until it ends.
func (s *Swarm) converse(ctx context.Context, control link.Stream) {
	n := &neighbour{control: control, frames: make(chan wire.Frame, maxQueue)}
	member := control.Peer()
	taken, held := s.take(member, n)
	if !taken {
		_ = control.Close()
		return
	}
	running := ctx
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { _ = control.Reset() })
	var writing sync.WaitGroup
	writing.Go(func() {
		defer cancel()
		s.write(ctx, n, held)
	})
	err := s.listen(ctx, control)
	cancel()
	writing.Wait()
	stop()
	if s.forget(member, n) {
		s.report(running, Report{Event: peer.NeighbourLeft{Peer: member}})
	}
	s.options.Log.Debug("neighbour left", "member", member, "reason", err)
}

// take makes a neighbour known and returns what it is to be told of. When both have dialled at once there are two
// conversations, of which both keep the one that the smaller peer has dialled.
func (s *Swarm) take(member id.Peer, n *neighbour) (taken bool, held []core.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.neighbours[member]; other != nil {
		if s.smallerDialled(other.control) || !s.smallerDialled(n.control) {
			return false, nil
		}
		_ = other.control.Reset()
	}
	s.neighbours[member] = n
	for info := range s.shared {
		held = append(held, info)
	}
	slices.SortFunc(held, func(a, b core.Digest) int { return slices.Compare(a[:], b[:]) })
	return true, held
}

func (s *Swarm) smallerDialled(control link.Stream) bool {
	return control.Ours() == (s.options.Host.ID().Compare(control.Peer()) < 0)
}

// forget forgets a neighbour, unless another conversation with it has taken this one's place.
func (s *Swarm) forget(member id.Peer, n *neighbour) (was bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was = s.neighbours[member] == n
	if was {
		delete(s.neighbours, member)
	}
	return was
}

// write sends bitmaps of what is shared, then whatever comes to be sent.
func (s *Swarm) write(ctx context.Context, n *neighbour, shared []core.Digest) {
	for _, info := range shared {
		if frame, has := s.bitmap(info); has && s.send(n, frame) != nil {
			return
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case frame := <-n.frames:
			if s.send(n, frame) != nil {
				return
			}
		}
	}
}

func (s *Swarm) send(n *neighbour, frame wire.Frame) error {
	data, err := wire.Append(nil, frame)
	if err != nil {
		return err
	}
	_, err = n.control.Write(data)
	return err
}

// bitmap returns what we hold of a package.
func (s *Swarm) bitmap(info core.Digest) (wire.Frame, bool) {
	p := s.options.Vault.FindInfo(info)
	if p == nil {
		return nil, false
	}
	held := p.Held()
	return wire.Bitmap{Info: info, Held: held}, held.Size() > 0
}

// listen reports what a neighbour says on its control stream, until it ends.
func (s *Swarm) listen(ctx context.Context, control link.Stream) error {
	for {
		frame, err := wire.Read(control, wire.ControlKinds()...)
		if err != nil {
			return err
		}
		if refusal, is := frame.(wire.Refusal); is {
			return refusal
		}
		if report, is := s.reportOf(control.Peer(), frame); is {
			if !s.report(ctx, report) {
				return ctx.Err()
			}
		}
	}
}

// reportOf translates a frame; keys, epochs and progress are not the downloads' concern.
func (s *Swarm) reportOf(member id.Peer, frame wire.Frame) (Report, bool) {
	switch frame := frame.(type) {
	case wire.Bitmap:
		return Report{frame.Info, peer.NeighbourJoined{
			Peer: member, Weight: s.options.Weight(member), Wants: !frame.Held.Full(), Held: frame.Held,
		}}, true
	case wire.Have:
		return Report{frame.Info, peer.NeighbourHas{Peer: member, Indexes: slices.Collect(wire.Indexes(frame.Ranges))}}, true
	case wire.Drop:
		if len(frame.Ranges) == 0 {
			return Report{frame.Info, peer.NeighbourLeft{Peer: member}}, true
		}
		return Report{frame.Info, peer.NeighbourDropped{
			Peer: member, Indexes: slices.Collect(wire.Indexes(frame.Ranges)),
		}}, true
	}
	return Report{}, false
}

// report hands a report on, and says whether it was taken.
func (s *Swarm) report(ctx context.Context, report Report) bool {
	select {
	case s.reports <- report:
		return true
	case <-ctx.Done():
		return false
	}
}

// Share tells every neighbour, now and as they come, what we hold of a package in the vault.
func (s *Swarm) Share(info core.Digest) {
	s.mu.Lock()
	isNew := !s.shared[info] && len(s.shared) < MaxShared
	if isNew {
		s.shared[info] = true
	}
	s.mu.Unlock()
	if frame, has := s.bitmap(info); isNew && has {
		s.toAll(frame)
	}
}

// Unshare tells every neighbour that we hold nothing of a package and want nothing of it.
func (s *Swarm) Unshare(info core.Digest) {
	s.mu.Lock()
	was := s.shared[info]
	delete(s.shared, info)
	s.mu.Unlock()
	if was {
		s.toAll(wire.Drop{Info: info})
	}
}

func (s *Swarm) toAll(frame wire.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for member, n := range s.neighbours {
		s.queue(member, n, frame)
	}
}

// queue puts a frame behind the others for a neighbour. One that takes nothing is no neighbour.
func (s *Swarm) queue(member id.Peer, n *neighbour, frame wire.Frame) {
	select {
	case n.frames <- frame:
	default:
		s.options.Log.Warn("neighbour takes nothing; disconnected", "member", member)
		_ = n.control.Reset()
	}
}

// Announce tells a neighbour of fragments that are new here.
func (s *Swarm) Announce(member id.Peer, info core.Digest, ascending []core.FragmentIndex) {
	ranges, few := wire.Ranges(slices.Values(ascending))
	var frame wire.Frame = wire.Have{Info: info, Ranges: ranges}
	if !few {
		whole, has := s.bitmap(info)
		if !has {
			return
		}
		frame = whole
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.neighbours[member]; n != nil {
		s.queue(member, n, frame)
	}
}

// Meet connects to a member. It becomes a neighbour when both sides have greeted.
func (s *Swarm) Meet(ctx context.Context, member link.Member) error {
	s.mu.Lock()
	known := s.neighbours[member.ID] != nil
	s.mu.Unlock()
	if known {
		return nil
	}
	return s.options.Host.Greet(ctx, member)
}
