package pulse

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"enjambre/core/ocs"
	"enjambre/peer/id"
	"enjambre/peer/wire"
)

// Bounds of a Collection.
const (
	MaxCollected = 4096            // members, as many as gossip believes in
	KeepFor      = 3 * time.Minute // since it was said; it is said again long before
	MaxAhead     = time.Minute     // of our time: clocks differ
	RepeatAfter  = time.Minute     // what the server knows goes with a message again, to show that it is still so
)

// A Collection is what other members have said of how far they are, until the server knows. It holds at most
// MaxCollected of them, each with the newest it has said, none older than KeepFor. The zero Collection is empty and
// ready; one goroutine owns it.
type Collection struct {
	entries map[id.Peer]*entry
	waiting int // entries that do
	turn    uint64
}

// An entry is the newest word of a member.
type entry struct {
	Said
	sent *Said  // what the server has; nil: nothing
	turn uint64 // when it was last sent; who has waited longest goes first
}

// waits reports whether the server has something else than the member says now.
func (e *entry) waits() bool { return e.sent == nil || !slices.Equal(e.Packages, e.sent.Packages) }

// goes reports whether the word is to go with the next message.
func (e *entry) goes() bool { return e.waits() || e.Issued.Sub(e.sent.Issued) >= RepeatAfter }

// A Said is what a member has said, and the frame in which it did.
type Said struct {
	wire.Progress
	Frame []byte
}

// Take keeps what a member has said, at the server's time now, and reports whether it does: if it is news, neither old
// nor of the future, and there is room. The signature is the caller's to verify.
func (c *Collection) Take(now time.Time, said wire.Progress) bool {
	known := c.entries[said.Peer]
	if !isCurrent(now, said.Issued) || known != nil && !said.Issued.After(known.Issued) {
		return false
	}
	frame, err := wire.Append(nil, said)
	if err != nil {
		return false
	}
	if known == nil {
		if len(c.entries) >= MaxCollected {
			c.forget(now)
		}
		if len(c.entries) >= MaxCollected {
			return false
		}
		if c.entries == nil {
			c.entries = map[id.Peer]*entry{}
		}
		known = &entry{}
		c.entries[said.Peer] = known
		c.waiting++
	}
	c.change(known, func() { known.Said = Said{said, frame} })
	return true
}

// change changes an entry and counts whether it waits.
func (c *Collection) change(one *entry, by func()) {
	if one.waits() {
		c.waiting--
	}
	by()
	if one.waits() {
		c.waiting++
	}
}

func isCurrent(now, issued time.Time) bool {
	age := now.Sub(issued)
	return age <= KeepFor && age >= -MaxAhead
}

// forget forgets what is not current.
func (c *Collection) forget(now time.Time) {
	for peer, one := range c.entries {
		if isCurrent(now, one.Issued) {
			continue
		}
		if one.waits() {
			c.waiting--
		}
		delete(c.entries, peer)
	}
}

// Waiting reports whether there is something that the server does not know, and should be told soon.
func (c *Collection) Waiting() bool { return c.waiting > 0 }

// Batch returns what is to go with an Ask now, at most ocs.MaxSaid words and ocs.MaxSaidBytes of frames: what the
// server does not know, and what it was told a while ago; first of the members that have waited longest. Once the server
// has it, Sent is to be called with it; else the same goes with the next.
func (c *Collection) Batch(now time.Time) []Said {
	c.forget(now)
	going := slices.Collect(maps.Keys(c.entries))
	going = slices.DeleteFunc(going, func(peer id.Peer) bool { return !c.entries[peer].goes() })
	slices.SortFunc(going, func(a, b id.Peer) int {
		return cmp.Or(cmp.Compare(c.entries[a].turn, c.entries[b].turn), bytes.Compare(a[:], b[:]))
	})
	var batch []Said
	room := ocs.MaxSaidBytes
	for _, peer := range going[:min(len(going), ocs.MaxSaid)] {
		one := c.entries[peer]
		if room -= len(one.Frame); room < 0 {
			break
		}
		batch = append(batch, one.Said)
	}
	return batch
}

// Sent notes that the server has been told a batch.
func (c *Collection) Sent(batch []Said) {
	c.turn++
	for _, said := range batch {
		if one := c.entries[said.Peer]; one != nil {
			c.change(one, func() { one.sent, one.turn = &said, c.turn })
		}
	}
}
