package origin

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"enjambre/core"
	"enjambre/peer/lease"
	"enjambre/server/internal/accesslog"
	"enjambre/server/internal/depot"
	"enjambre/server/internal/store"
)

// An outside is a part of a fragment that went into a site without a lease.
type outside struct {
	pack  store.Package
	event lease.ServedOutside
}

// Outside books what an enrolled agent of a site was sent of a package's file at its plain address, for
// [delivery.Sent]: an agent that takes no part in the swarm fetches so, or one that got nowhere otherwise. Files other
// than fragments are not counted, nor what others fetch, whose site is not proved. It waits for the site's goroutine,
// not for the ledger; what is sent while the server stops is not booked.
func (h *Handler) Outside(r *http.Request, number core.PackageID, name string, from, bytes int64) {
	index, isFragment := fragmentOf(number, name)
	if !isFragment {
		return
	}
	log := h.options.Log.With("package", number, "fragment", index)
	caller, _, err := h.callerOf(r)
	if err != nil {
		log.Debug("a plain download is of no member of a site", "remote", r.RemoteAddr, "reason", err)
		return
	}
	accesslog.Name(r.Context(), caller.Device)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), storeWait) // also if the agent has left
	defer cancel()
	site, err := h.options.Sites.SiteOf(ctx, caller)
	if err == nil && site != "" {
		err = h.book(ctx, site, number, lease.ServedOutside{Fragment: index, From: from, Bytes: bytes})
	}
	if err != nil {
		log.Warn("a plain download is not in the site's ledger", "computer", caller.Device, "site", site, "bytes", bytes,
			"reason", err)
	}
}

// book has a site book what it was sent.
func (h *Handler) book(ctx context.Context, site core.SiteName, number core.PackageID, event lease.ServedOutside) error {
	pack, err := h.options.Store.Package(ctx, number)
	if err != nil {
		return err
	}
	plan, err := planOf(pack)
	if err != nil {
		return err
	}
	if int(event.Fragment) >= plan.Count() || event.From+event.Bytes > plan.Size(event.Fragment) {
		return core.Refuse(core.ClassField, "bytes %d to %d of fragment %d are not in the package", event.From,
			event.From+event.Bytes, event.Fragment)
	}
	event.Package = pack.InfoDigest
	k, release := h.use(site)
	if k == nil {
		return errEnded
	}
	defer release()
	if !k.tell(message{outside: &outside{pack, event}}) {
		return errEnded
	}
	return nil
}

// fragmentOf reads the name of a fragment's file.
func fragmentOf(number core.PackageID, name string) (core.FragmentIndex, bool) {
	text, _ := strings.CutPrefix(name, number.String()+"-")
	place, err := strconv.ParseUint(text, 10, 32)
	if err != nil || place == 0 || place > core.MaxFragments {
		return 0, false
	}
	index := core.FragmentIndex(place - 1)
	return index, depot.FragmentName(number, index) == name
}

// bookOutside takes in what a site was sent without a lease.
func (k *keeper) bookOutside(o *outside) {
	k.learn(o.pack)
	if known, is := k.known[o.pack.ID]; is && known.InfoDigest == o.event.Package {
		k.step(o.event)
	}
}
