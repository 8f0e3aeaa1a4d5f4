// Package swarm carries out what peer decides: it speaks peer/wire with the members that peer/link connects, tells the
// owner of the downloads what they announce, fetches fragments from them, and serves them from the vault.
//
// Every connection has one control stream, on which both sides say what they hold: a Bitmap of each package that
// they share when they meet or a package comes, Have for what is new, Drop for what is gone. A fragment is one stream:
// an Ask, its answer, the bytes. Whoever serves hashes nothing: what is in the vault was verified, and who receives
// verifies it again.
//
// Nothing here decides. What neighbours say reaches the owner of the peer.Downloads as [Report]s, in order for each
// neighbour; the owner answers with the methods. What they say of a package that we do not share yet is remembered until
// [Swarm.Share].
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
	"maps"
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

	// atOnce is how long two members that dial each other may take until both have greeted: link's times to dial and to
	// greet. Whoever comes later although we have a conversation with it has lost that one.
	atOnce = 15 * time.Second
)

// A Report is something that concerns one package's download, or that a neighbour came, before all that it says. That
// it left is reported for no package.
type Report struct {
	Came  id.Peer     // zero: nobody came
	Info  core.Digest // zero: all packages
	Event peer.Event  // nil when somebody came
}

// Options are what a Swarm needs; all but Log are required.
type Options struct {
	Host   *link.Host
	Vault  *vault.Vault
	Weight func(id.Peer) owner.Weight // of a member that was greeted
	Random *rand.Rand                 // of the times after which who was turned away comes again
	Log    *slog.Logger               // nil discards

	// Greeting returns what a neighbour is told first; nil: nothing. Takes reports whether a neighbour may be sent one of
	// these frames, or one of Tell's; nil: everybody may. Heard is given what it says that is no download's concern: keys,
	// epochs, notices, progress; nil: nobody wants it. All are called by several goroutines, Takes with a lock held.
	Greeting func() []wire.Frame
	Takes    func(member id.Peer, frame wire.Frame) bool
	Heard    func(from id.Peer, said wire.Frame)
}

// A Swarm is this agent's part in its site's swarm. Its methods may be called at any time while Run runs.
type Swarm struct {
	options Options
	reports chan Report
	uploads chan struct{} // a place for each slot
	served  chan struct{} // a place for each ask

	pieces  sync.Pool // of *[pieceBytes]byte, for what is served
	buffers sync.Pool // of *[]byte, for fragments that are fetched

	order sync.Mutex // held while somebody comes or leaves until that is reported, so that reports are in order

	mu         sync.Mutex
	neighbours map[id.Peer]*neighbour
	shared     map[core.Digest]bool
}

// A neighbour is a member whose control stream we have.
type neighbour struct {
	control link.Stream
	began   time.Time
	frames  chan wire.Frame // to be sent

	holdings     map[core.Digest]*holding // guarded by the Swarm's mutex, as the next
	holdingBytes int
}

// New returns a Swarm. Run makes it work.
func New(options Options) *Swarm {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	return &Swarm{
		pieces:  sync.Pool{New: func() any { return new([pieceBytes]byte) }},
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

// converse holds one neighbour's control stream until it ends, and the connection with it: a member is met again only
// by a new connection.
func (s *Swarm) converse(ctx context.Context, control link.Stream) {
	n := &neighbour{
		control: control, began: time.Now(), frames: make(chan wire.Frame, maxQueue),
		holdings: map[core.Digest]*holding{},
	}
	defer func() {
		if err := control.Disconnect(); err != nil {
			s.options.Log.Debug("neighbour not disconnected well", "member", control.Peer(), "reason", err)
		}
	}()
	taken, held := s.come(ctx, n)
	if !taken {
		return
	}
	s.options.Log.Debug("neighbour joined", "member", control.Peer())
	running := ctx
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { _ = control.Reset() })
	var writing sync.WaitGroup
	writing.Go(func() {
		defer cancel()
		s.write(ctx, n, held)
	})
	err := s.listen(ctx, n)
	cancel()
	writing.Wait()
	stop()
	s.leave(running, n)
	s.options.Log.Debug("neighbour left", "member", control.Peer(), "reason", err)
}

// come takes a neighbour and reports it. What it said in a conversation whose place this one takes does not hold.
func (s *Swarm) come(ctx context.Context, n *neighbour) (taken bool, held []core.Digest) {
	s.order.Lock()
	defer s.order.Unlock()
	member := n.control.Peer()
	taken, before, held := s.take(member, n)
	if before {
		s.report(ctx, Report{Event: peer.NeighbourLeft{Peer: member}})
	}
	if taken {
		s.report(ctx, Report{Came: member})
	}
	return taken, held
}

// leave forgets a neighbour and reports it, unless another conversation with it has taken this one's place.
func (s *Swarm) leave(ctx context.Context, n *neighbour) {
	s.order.Lock()
	defer s.order.Unlock()
	if member := n.control.Peer(); s.forget(member, n) {
		s.report(ctx, Report{Event: peer.NeighbourLeft{Peer: member}})
	}
}

// take makes a neighbour known and returns what it is to be told of, and whether another conversation with it ends.
// When both have dialled at once there are two conversations, of which both keep the one that the smaller peer has
// dialled. Otherwise the other one is lost: it started anew, perhaps, which QUIC takes half a minute to find out.
func (s *Swarm) take(member id.Peer, n *neighbour) (taken, before bool, held []core.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.neighbours[member]; other != nil {
		isLost := other.control.Ours() == n.control.Ours() || n.began.Sub(other.began) > atOnce
		if !isLost && s.smallerDialled(other.control) {
			return false, false, nil
		}
		before = true
		_ = other.control.Reset()
	}
	s.neighbours[member] = n
	for info := range s.shared {
		held = append(held, info)
	}
	slices.SortFunc(held, func(a, b core.Digest) int { return slices.Compare(a[:], b[:]) })
	return true, before, held
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

// write sends the greeting, bitmaps of what is shared, then whatever comes to be sent.
func (s *Swarm) write(ctx context.Context, n *neighbour, shared []core.Digest) {
	if s.options.Greeting != nil {
		for _, frame := range s.options.Greeting() {
			if s.takes(n.control.Peer(), frame) && s.say(n, frame) != nil {
				return
			}
		}
	}
	for _, info := range shared {
		if frame, has := s.bitmap(info); has && s.say(n, frame) != nil {
			return
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case frame := <-n.frames:
			if s.say(n, frame) != nil {
				return
			}
		}
	}
}

func (s *Swarm) say(n *neighbour, frame wire.Frame) error {
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
func (s *Swarm) listen(ctx context.Context, n *neighbour) error {
	for {
		frame, err := wire.Read(n.control, wire.ControlKinds()...)
		if err != nil {
			return err
		}
		switch frame := frame.(type) {
		case wire.Refusal:
			return frame
		case wire.Keys, wire.Epoch, wire.Notice:
			if s.options.Heard != nil {
				s.options.Heard(n.control.Peer(), frame)
			}
			continue
		}
		s.mu.Lock()
		info, events := s.note(n, frame)
		if !s.shared[info] || s.neighbours[n.control.Peer()] != n {
			events = nil
		}
		s.mu.Unlock()
		for _, event := range events {
			if !s.report(ctx, Report{Info: info, Event: event}) {
				return ctx.Err()
			}
		}
	}
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

// Unshare tells every neighbour that we hold nothing of a package and want nothing of it.
func (s *Swarm) Unshare(info core.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared[info] {
		delete(s.shared, info)
		s.toAll(wire.Drop{Info: info})
	}
}

// Tell tells every neighbour but one something that is no download's concern; the zero ID spares nobody.
func (s *Swarm) Tell(frame wire.Frame, except id.Peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, member := range s.sortedNeighbours() {
		if member != except && s.takes(member, frame) {
			s.queue(member, s.neighbours[member], frame)
		}
	}
}

func (s *Swarm) takes(member id.Peer, frame wire.Frame) bool {
	return s.options.Takes == nil || s.options.Takes(member, frame)
}

// toAll queues a frame for everybody; the mutex is held.
func (s *Swarm) toAll(frame wire.Frame) {
	for _, member := range s.sortedNeighbours() {
		s.queue(member, s.neighbours[member], frame)
	}
}

// sortedNeighbours returns who the neighbours are, in order; the mutex is held.
func (s *Swarm) sortedNeighbours() []id.Peer {
	return slices.SortedFunc(maps.Keys(s.neighbours), id.Peer.Compare)
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
