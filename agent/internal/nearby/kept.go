package nearby

import (
	"net/netip"
	"time"
)

// Bounds of what is kept.
const (
	MaxPlaces = 64
	MaxFrom   = 16 // from one sender, so that it does not crowd out all others
)

// kept are the places that others announce. A peer may have several, so that nobody can hide where it really is.
type kept map[Place]keeping

// A keeping is who announced a place last, and until when that counts.
type keeping struct {
	from  netip.Addr
	until time.Time
}

// take takes over an announcement, and reports whether its place was not there before. When there is no room it is
// dropped: those that are there make way by time only.
func (k kept) take(said announcement, from netip.Addr, now time.Time) bool {
	k.tidy(now)
	before, isThere := k[said.Place]
	if said.TTL <= 0 {
		if isThere && before.from == from { // only who said that it is there says that it is not
			delete(k, said.Place)
		}
		return false
	}
	if !isThere {
		ofSender := 0
		for _, one := range k {
			if one.from == from {
				ofSender++
			}
		}
		if len(k) >= MaxPlaces || ofSender >= MaxFrom {
			return false
		}
	}
	k[said.Place] = keeping{from, now.Add(said.TTL)}
	return !isThere
}

// places returns those that count.
func (k kept) places(now time.Time) []Place {
	k.tidy(now)
	list := make([]Place, 0, len(k))
	for place := range k {
		list = append(list, place)
	}
	return list
}

func (k kept) tidy(now time.Time) {
	for place, one := range k {
		if !now.Before(one.until) {
			delete(k, place)
		}
	}
}
