package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"enjambre/agent/internal/origin"
	"enjambre/agent/internal/plan"
	"enjambre/core"
	"enjambre/core/ocs"
	peerid "enjambre/peer/id"
	"enjambre/peer/next"
)

// maxBegun is how many broken bodies are kept: as many as an origin sends one agent at once. Each is less than a
// fragment.
const maxBegun = 2

// begun is what came of a fragment whose body broke off.
type begun struct {
	id   core.PackageID
	info core.Digest // of which archive it is
	origin.Begun
}

// originOf returns what a server's answer says of the origin that grants leases.
func (d *daemon) originOf(swarm *ocs.Swarm) plan.Origin {
	if swarm == nil || swarm.Origin == "" {
		return plan.Origin{}
	}
	if _, _, err := net.SplitHostPort(swarm.Origin); err != nil {
		d.options.Log.Warn("the server's origin is not used", "reason", err)
		return plan.Origin{}
	}
	told := plan.Origin{Address: swarm.Origin}
	for _, field := range swarm.Policy {
		told.AtRate = told.AtRate || field.Name == ocs.PolicyPace && field.Value == ocs.PaceByRate
	}
	return told
}

// nextAddress returns where an origin is asked for the next fragment of a package.
func nextAddress(from plan.Origin, number core.PackageID) string {
	return fmt.Sprintf("https://%s/download/%s/%s", from.Address, number, next.Name)
}

// lend sets about what concerns an origin that grants leases.
func (d *daemon) lend(ctx context.Context, action plan.Action) {
	switch action := action.(type) {
	case plan.AskNext:
		kept := d.goOn(action.Package)
		at := nextAddress(d.plan.Origin(), action.Package)
		d.spawn(ctx, func(ctx context.Context) answer { return d.askNext(ctx, at, action, kept) })
	case plan.Acknowledge:
		at := nextAddress(d.plan.Origin(), action.Package)
		d.spawn(ctx, func(ctx context.Context) answer { return d.acknowledge(ctx, at, action) })
	}
}

// goOn takes out what is kept of a body of a package, if anything is.
func (d *daemon) goOn(id core.PackageID) begun {
	at := slices.IndexFunc(d.begun, func(b begun) bool { return b.id == id })
	if at < 0 {
		return begun{id: id}
	}
	kept := d.begun[at]
	d.begun = slices.Delete(d.begun, at, at+1)
	return kept
}

// letGo forgets what is kept of a package's bodies.
func (d *daemon) letGo(id core.PackageID) {
	d.begun = slices.DeleteFunc(d.begun, func(b begun) bool { return b.id == id })
}

// askNext asks the origin for the next fragment of a package, verifies and stores what it sends.
func (d *daemon) askNext(ctx context.Context, address string, order plan.AskNext, kept begun) answer {
	number := order.Package
	p := d.vault.Find(number)
	if p == nil { // dropped meanwhile; the plan ignores the answer
		return func() plan.Event { return plan.NextFailed{Package: number} }
	}
	if kept.info != p.InfoDigest() {
		kept = begun{id: number, info: p.InfoDigest()}
	}
	got, data, err := d.talker.Client().Next(ctx, address, origin.Wish{
		Request: order.Request, Have: order.Have, Begun: &kept.Begun, Size: p.Info().Archive.Plan.Size,
	})
	d.introduced(got)
	d.swarm.sources.site(number, got.Sent, p.Info().Archive.Plan.ArchiveSize())
	sent := got.Status == next.StatusFragment
	corrupt := false
	if err == nil && sent {
		err = p.Store(got.Fragment, data)
		corrupt = core.ClassOf(err) == core.ClassHash
	}
	return func() plan.Event {
		if _, wanted := d.plan.Assignment(number); wanted && len(kept.Bytes) > 0 {
			d.begun = append(d.begun, kept)
			d.begun = d.begun[max(0, len(d.begun)-maxBegun):]
		}
		switch {
		case errors.Is(err, origin.ErrNoLeases):
			if d.plan.Leases() { // the first to find out
				d.options.Log.Warn("no leases; plain files are fetched until the next contact", "reason", err)
			}
			return plan.NextUnknown{Package: number}
		case err != nil:
			d.options.Log.Warn("no next fragment", "package", number, "reason", err)
			if sent && core.ClassOf(err) != "" {
				return plan.FragmentFailed{Package: number, Index: got.Fragment, Corrupt: corrupt, Problem: err.Error()}
			}
			return plan.NextFailed{Package: number, Problem: err.Error()}
		case sent:
			d.stored(p)
			d.swarm.sources.add(number, p.Info().Archive.Plan.Size(got.Fragment), 0)
			return plan.FragmentStored{Package: number, Index: got.Fragment}
		}
		return d.refused(number, got)
	}
}

// refused takes over an answer without fragment.
func (d *daemon) refused(number core.PackageID, got next.Answer) plan.Event {
	switch got.Status {
	case next.StatusComplete:
		return plan.NextComplete{Package: number}
	case next.StatusGone:
		d.options.Log.Warn("the origin says that a package is withdrawn; it stops, and the server is asked",
			"package", number)
		return plan.NextGone{Package: number}
	}
	d.options.Log.Debug("no next fragment yet", "package", number, "reason", got.Reason, "wait", got.RetryAfter,
		"holder", got.Holder)
	return plan.OriginRefused{
		Package: number, Index: got.Fragment, Holder: got.Holder, RetryAfter: got.RetryAfter, Reason: got.Reason,
	}
}

// acknowledge tells the origin what was verified.
func (d *daemon) acknowledge(ctx context.Context, address string, order plan.Acknowledge) answer {
	got, _, err := d.talker.Client().Next(ctx, address, origin.Wish{Request: order.Request, Have: order.Have})
	d.introduced(got)
	if p := d.vault.Find(order.Package); p != nil {
		d.swarm.sources.site(order.Package, got.Sent, p.Info().Archive.Plan.ArchiveSize())
	}
	return func() plan.Event {
		if err != nil {
			d.options.Log.Debug("not acknowledged yet", "package", order.Package, "reason", err)
		}
		return plan.Acknowledged{
			Package: order.Package, Heard: err == nil && (got.Status == next.StatusComplete || got.Status == next.StatusRefused),
			Withdrawn: err == nil && got.Status == next.StatusGone,
		}
	}
}

// introduced has the agent meet whom the origin introduces it to.
func (d *daemon) introduced(got next.Answer) {
	if to := got.Introduce; d.swarm.member != nil && to.To != (peerid.Peer{}) {
		d.swarm.member.Introduce(to.To, to.At)
	}
}
