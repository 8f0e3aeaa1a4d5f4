package origin

import (
	"context"
	"maps"
	"net/http"
	"net/netip"
	"time"

	"enjambre/core"
	"enjambre/core/seal"
	"enjambre/peer/id"
	"enjambre/peer/lease"
	"enjambre/peer/next"
)

// introduceTime is how long it is remembered whom a member is to be introduced to. One that has not asked by then has
// been found by gossip, or has gone.
const introduceTime = 5 * time.Minute

// An introduction is whom a member is to be told to connect to, with its next answer.
type introduction struct {
	to    id.Peer
	until time.Time
}

// An introducer remembers introductions, one for each member: so there are no more than a site has members. The last
// counts.
type introducer map[id.Peer]introduction

// note remembers an introduction, and forgets those that are over.
func (i introducer) note(order lease.Introduce, now time.Time) {
	maps.DeleteFunc(i, func(_ id.Peer, one introduction) bool { return !now.Before(one.until) })
	i[order.Member] = introduction{order.To, now.Add(introduceTime)}
}

// take returns whom a member is to be introduced to, once; zero: nobody.
func (i introducer) take(member id.Peer, now time.Time) id.Peer {
	one := i[member]
	delete(i, member)
	if !now.Before(one.until) {
		return id.Peer{}
	}
	return one.to
}

// forget forgets a member that has left.
func (i introducer) forget(left id.Peer) {
	maps.DeleteFunc(i, func(member id.Peer, one introduction) bool { return member == left || one.to == left })
}

// introduction returns what an asker is told of the member that it is to connect to, with where that listens if it
// can be known. A loopback address means something to an asker on this computer only.
func (h *Handler) introduction(r *http.Request, site core.SiteName, to id.Peer) next.Introduction {
	if to == (id.Peer{}) {
		return next.Introduction{}
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeWait) // a body may wait for it
	defer cancel()
	at, err := h.options.Store.ListenOf(ctx, site, seal.KeyIDOf(to[:]).String(), time.Now())
	if err != nil {
		h.options.Log.Debug("a member is introduced without its address", "site", site, "member", to, "reason", err)
		return next.Introduction{To: to}
	}
	if from, _ := netip.ParseAddrPort(r.RemoteAddr); at.Addr().IsLoopback() && !from.Addr().Unmap().IsLoopback() {
		at = netip.AddrPort{}
	}
	return next.Introduction{To: to, At: at}
}
