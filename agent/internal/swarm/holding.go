package swarm

import (
	"slices"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer"
	"enjambre/peer/id"
	"enjambre/peer/wire"
)

// Bounds of what is remembered of one neighbour; what it says beyond them is not heard, and the origin knows it.
const (
	maxHoldings    = MaxShared
	maxHoldingSize = 256 << 10 // bytes of bitmaps; those that are full take none
)

// A holding is what a neighbour has of a package. It is remembered also while we do not share the package, since a
// neighbour says it once and we may be told of the package later.
type holding struct {
	size  int           // fragments
	set   *fragment.Set // nil: all
	wants bool
}

func (h *holding) bytes() int {
	if h.set == nil {
		return 0
	}
	return (h.size + 7) / 8
}

// held returns a set of its own.
func (h *holding) held() *fragment.Set {
	if h.set == nil {
		full := fragment.NewSet(h.size)
		for index := range core.FragmentIndex(h.size) {
			full.Add(index)
		}
		return full
	}
	return copyOf(h.set)
}

func copyOf(set *fragment.Set) *fragment.Set {
	other, err := fragment.ParseSet(set.Bytes(), set.Size())
	if err != nil {
		panic("swarm: a set does not survive its own spelling: " + err.Error())
	}
	return other
}

// note keeps what a neighbour says of a package, and returns what that is to the package's download, in order.
func (s *Swarm) note(n *neighbour, frame wire.Frame) (core.Digest, []peer.Event) {
	member := n.control.Peer()
	switch frame := frame.(type) {
	case wire.Bitmap:
		return frame.Info, s.noteBitmap(n, frame)
	case wire.Have:
		indexes := slices.Collect(wire.Indexes(frame.Ranges))
		n.change(frame.Info, indexes, true)
		return frame.Info, []peer.Event{peer.NeighbourHas{Peer: member, Indexes: indexes}}
	case wire.Drop:
		if len(frame.Ranges) == 0 {
			n.drop(frame.Info)
			return frame.Info, []peer.Event{peer.NeighbourLeft{Peer: member}}
		}
		indexes := slices.Collect(wire.Indexes(frame.Ranges))
		n.change(frame.Info, indexes, false)
		return frame.Info, []peer.Event{peer.NeighbourDropped{Peer: member, Indexes: indexes}}
	}
	return core.Digest{}, nil
}

// noteBitmap keeps a bitmap. One of a package that the neighbour has told of before says only what has changed.
func (s *Swarm) noteBitmap(n *neighbour, frame wire.Bitmap) []peer.Event {
	member := n.control.Peer()
	now := &holding{size: frame.Held.Size(), set: copyOf(frame.Held), wants: !frame.Held.Full()}
	if frame.Held.Full() {
		now.set = nil
	}
	before := n.holdings[frame.Info]
	if before != nil && before.size == now.size {
		var has, lost []core.FragmentIndex
		for index := range core.FragmentIndex(now.size) {
			switch is, was := frame.Held.Has(index), before.set == nil || before.set.Has(index); {
			case is && !was:
				has = append(has, index)
			case was && !is:
				lost = append(lost, index)
			}
		}
		n.keep(frame.Info, now)
		return []peer.Event{
			peer.NeighbourHas{Peer: member, Indexes: has}, peer.NeighbourDropped{Peer: member, Indexes: lost},
		}
	}
	if !n.keep(frame.Info, now) {
		s.options.Log.Debug("a neighbour holds more than can be remembered", "member", member)
		return nil
	}
	return []peer.Event{
		peer.NeighbourLeft{Peer: member},
		peer.NeighbourJoined{Peer: member, Weight: s.options.Weight(member), Wants: now.wants, Held: frame.Held},
	}
}

// keep remembers a holding if there is room for it.
func (n *neighbour) keep(info core.Digest, h *holding) bool {
	n.drop(info)
	if len(n.holdings) >= maxHoldings || n.holdingBytes+h.bytes() > maxHoldingSize {
		return false
	}
	n.holdings[info] = h
	n.holdingBytes += h.bytes()
	return true
}

func (n *neighbour) drop(info core.Digest) {
	if h := n.holdings[info]; h != nil {
		n.holdingBytes -= h.bytes()
		delete(n.holdings, info)
	}
}

// change adds or removes fragments of a holding.
func (n *neighbour) change(info core.Digest, indexes []core.FragmentIndex, holds bool) {
	before := n.holdings[info]
	if before == nil {
		return
	}
	set := before.held()
	for _, index := range indexes {
		switch {
		case int(index) >= set.Size():
		case holds:
			set.Add(index)
		default:
			set.Remove(index)
		}
	}
	after := &holding{size: before.size, set: set, wants: before.wants}
	if set.Full() {
		after.set = nil
	}
	n.keep(info, after)
}

// Share tells every neighbour, now and as they come, what we hold of a package in the vault, and returns what the
// neighbours have said of it so far, for its download; what they say from now on is reported. It may be called again.
func (s *Swarm) Share(info core.Digest) []peer.Event {
	var joined []peer.Event
	s.mu.Lock()
	isNew := !s.shared[info] && len(s.shared) < MaxShared
	if isNew {
		s.shared[info] = true
	}
	for _, member := range s.sortedNeighbours() {
		if h := s.neighbours[member].holdings[info]; h != nil {
			joined = append(joined, peer.NeighbourJoined{
				Peer: member, Weight: s.options.Weight(member), Wants: h.wants, Held: h.held(),
			})
		}
	}
	s.mu.Unlock()
	if isNew {
		s.Renew(info)
	}
	return joined
}

// Renew tells every neighbour what we hold of a package that is shared: after its download has ended, of which it has
// perhaps not announced the last fragments.
func (s *Swarm) Renew(info core.Digest) {
	frame, has := s.bitmap(info)
	s.mu.Lock()
	defer s.mu.Unlock()
	if has && s.shared[info] {
		s.toAll(frame)
	}
}

// Sharers returns the neighbours that have said that they hold some of a package or want it, and so have its info
// file, in order of their IDs.
func (s *Swarm) Sharers(info core.Digest) []id.Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(s.sortedNeighbours(), func(member id.Peer) bool {
		return s.neighbours[member].holdings[info] == nil
	})
}
