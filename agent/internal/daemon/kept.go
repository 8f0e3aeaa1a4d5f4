package daemon

import (
	"context"

	"enjambre/agent/internal/origin"
	"enjambre/agent/internal/plan"
	"enjambre/core"
	"enjambre/peer/next"
)

// checkKept asks the origin about all packages that are only kept for others, one after the other, and drops those that it
// does not know any more. That is done after the first contact and after each that has brought news. The vault bounds how many
// there are.
func (d *daemon) checkKept(ctx context.Context) {
	from := d.plan.Origin()
	if news := d.following.seen.Contacted.Number; from.Address == "" || news <= d.following.checked {
		return
	}
	d.following.checked = d.following.seen.Contacted.Number
	var kept []core.PackageID
	for _, id := range d.vault.IDs() {
		if _, isKept := d.vault.Kept(id); isKept {
			kept = append(kept, id)
		}
	}
	if len(kept) > 0 {
		d.spawn(ctx, func(ctx context.Context) answer { return d.withdrawn(ctx, from, kept) })
	}
}

// withdrawn drops the packages of which the origin says that they are no more. It is told by the way that we hold the
// others, which an origin that was started anew may not know.
func (d *daemon) withdrawn(ctx context.Context, from plan.Origin, kept []core.PackageID) answer {
	var gone []core.PackageID
	for _, id := range kept {
		p := d.vault.Find(id)
		if p == nil {
			continue
		}
		got, _, err := d.talker.Client().Next(ctx, nextAddress(from, id), origin.Wish{
			Request: next.Request{Weight: d.swarm.member.Weight()}, Have: p.Held().Bytes(),
		})
		switch {
		case err != nil: // the next news ask again
			d.options.Log.Debug("not known whether a package is still wanted", "package", id, "reason", err)
		case got.Status == next.StatusGone:
			gone = append(gone, id)
		}
	}
	return func() plan.Event {
		for _, id := range gone {
			if _, isKept := d.vault.Kept(id); isKept { // it may have been assigned again meanwhile
				d.options.Log.Info("package not kept any longer: it is withdrawn", "package", id)
				d.forget(id)
			}
		}
		return nil
	}
}
