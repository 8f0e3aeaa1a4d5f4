package ocsapi

import (
	"context"
	"time"

	"enjambre/core"
	"enjambre/core/seal"
	"enjambre/peer/id"
	"enjambre/peer/pulse"
	"enjambre/peer/wire"
	"enjambre/server/internal/store"
)

// oldSaid is how old words of members may be when they are passed on: as long as a reporter keeps them, and what its
// clock may be behind.
const oldSaid = pulse.KeepFor + pulse.MaxAhead

// said returns what of the words of members that an agent passes on is to be noted. Each must be a member's of the
// agent's site, signed by it, and of now; others are dropped, for which nobody is blamed: where members are changes, and
// so may the key of one. Signatures, at most ocs.MaxSaid, are verified last, of what is worth it.
func (h *Handler) said(ctx context.Context, from caller, at core.SiteName, frames [][]byte,
	now time.Time) ([]store.Said, error) {
	drop := func(reason error) {
		h.log.Debug("the word of a member is dropped", "computer", from.Device, "site", at, "reason", reason)
	}
	words := map[string]wire.Progress{} // by key, the newest of each
	for _, frame := range frames {
		one, err := readSaid(frame, now)
		if err != nil {
			drop(err)
			continue
		}
		key := keyOfPeer(one.Peer)
		if known, is := words[key]; !is || one.Issued.After(known.Issued) {
			words[key] = one
		}
	}
	var said []store.Said
	for key, word := range words {
		for _, one := range word.Packages {
			said = append(said, store.Said{
				Key: key, Package: one.Package, Phase: one.Phase, Have: int(one.Have), Of: int(one.Of), Issued: word.Issued,
			})
		}
	}
	worth, err := h.store.AcceptSaid(ctx, at, said)
	if err != nil {
		return nil, err
	}
	refused := map[string]bool{}
	var signed []store.Said
	for _, one := range worth {
		isRefused, isKnown := refused[one.Key]
		if !isKnown {
			err := words[one.Key].Verify()
			if err != nil {
				drop(err)
			}
			isRefused = err != nil
			refused[one.Key] = isRefused
		}
		if !isRefused {
			one.Issued = earliest(one.Issued, now) // or it would count for newer than what comes next
			signed = append(signed, one)
		}
	}
	return signed, nil
}

// readSaid reads the word of a member, which must be of now.
func readSaid(frame []byte, now time.Time) (wire.Progress, error) {
	read, err := wire.ParseMessage(frame, wire.KindProgress)
	if err != nil {
		return wire.Progress{}, err
	}
	said := read.(wire.Progress)
	if age := now.Sub(said.Issued); age > oldSaid || age < -pulse.MaxAhead {
		return wire.Progress{}, core.Refuse(core.ClassField, "member %s has said it %v ago: want at most %v, and %v ahead",
			said.Peer, age, oldSaid, pulse.MaxAhead)
	}
	return said, nil
}

// keyOfPeer returns the ID of the key that a member's agent has enrolled with.
func keyOfPeer(peer id.Peer) string { return seal.KeyIDOf(peer[:]).String() }

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
