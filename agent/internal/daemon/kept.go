package daemon

import (
	"context"
	"fmt"
	"math"
	"slices"

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

// retire keeps a package that has ended for its neighbours, if there is a swarm that may want it; else it goes.
func (d *daemon) retire(id core.PackageID) {
	p := d.vault.Find(id)
	if p == nil || !d.mayKeep() || p.Info().NoSwarm || p.Info().Archive == nil || p.Missing() > 0 {
		d.forget(id)
		return
	}
	delete(d.unflushed, id)
	delete(d.cancels, id)
	d.letGo(id)
	if err := d.vault.Keep(id, d.clock.now()); err != nil {
		d.options.Log.Warn("a package is not kept for other members", "package", id, "reason", err)
		d.forget(id)
		return
	}
	if !d.clock.isTold() {
		d.undated = append(d.undated, id)
	}
	d.swarm.member.Renew(p.InfoDigest()) // the last fragments may not have been announced
	d.swarm.tidyAt = d.clock.now()
}

// mayKeep reports whether packages that have ended are kept.
func (d *daemon) mayKeep() bool { return d.swarm.member != nil && d.swarm.member.Joined() }

// resumeKept shares what is kept since before the start, or removes it when there is no swarm any more. It returns
// false for a package that is not only kept.
func (d *daemon) resumeKept(id core.PackageID, assigned bool) (bool, error) {
	if _, kept := d.vault.Kept(id); !kept {
		return false, nil
	}
	if assigned { // it was assigned again just before the stop
		if err := d.vault.Claim(id); err != nil {
			return false, fmt.Errorf("package %s: %w", id, err)
		}
		return false, nil
	}
	if !d.mayKeep() {
		return true, d.vault.Remove(id)
	}
	d.swarm.member.Share(d.vault.Find(id).InfoDigest())
	return true, nil
}

// tidy removes what is kept too long, when it is time.
func (d *daemon) tidy() {
	now := d.clock.now()
	if d.swarm.member == nil || now.Before(d.swarm.tidyAt) {
		return
	}
	d.swarm.tidyAt = now.Add(tidyEvery)
	age := keepAge
	if !d.clock.isTold() {
		age = math.MaxInt64
	}
	if err := d.vault.Tidy(now, age); err != nil {
		d.options.Log.Warn("what is kept for other members is not tidied up", "reason", err)
	}
}

// redate dates what is kept by the server's time, which was just told: what was kept since the start, and what a clock
// that was wrong says to be kept since later than now.
func (d *daemon) redate() {
	now := d.clock.now()
	for _, id := range d.vault.IDs() {
		ended, isKept := d.vault.Kept(id)
		if !isKept || !ended.After(now) && !slices.Contains(d.undated, id) {
			continue
		}
		if err := d.vault.Keep(id, now); err != nil {
			d.options.Log.Warn("since when a package is kept cannot be noted", "package", id, "reason", err)
		}
	}
	d.undated = nil
}
