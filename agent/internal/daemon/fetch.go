package daemon

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"enjambre/agent/internal/ledger"
	"enjambre/agent/internal/origin"
	"enjambre/agent/internal/plan"
	"enjambre/agent/internal/vault"
	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/outcome"
	"enjambre/core/seal"
)

// fetchInfo fetches a package's info file and its digests, verifies both, and makes room for the package.
func (d *daemon) fetchInfo(ctx context.Context, assignment plan.Assignment) answer {
	p, err := d.obtain(ctx, assignment)
	return d.fetched(assignment, p, err)
}

// fetched answers the fetch of an info file.
func (d *daemon) fetched(assignment plan.Assignment, p *vault.Package, err error) answer {
	id := assignment.Package
	var final *finalError
	switch {
	case errors.As(err, &final):
		return func() plan.Event {
			if !d.isCurrent(assignment) {
				return nil // it is not assigned any more, or anew, and may even run by now
			}
			result := ledger.Result{Text: string(final.state), Detail: detail(core.ClassOf(err), err.Error())}
			return d.end(id, result)()
		}
	case err != nil:
		return func() plan.Event {
			if !d.isCurrent(assignment) {
				return nil
			}
			d.options.Log.Warn("info file not to be had", "package", id, "reason", err)
			return plan.InfoFailed{Package: id, Problem: err.Error()}
		}
	}
	return func() plan.Event {
		d.options.Log.Info("package assigned", "package", id, "action", p.Info().Action, "priority", p.Info().Priority,
			"fragments", p.Info().Fragments())
		return infoStored(p)
	}
}

// isCurrent reports whether a package is still assigned as it was, and not taken back since, and perhaps assigned
// anew: then another fetch is under way.
func (d *daemon) isCurrent(assignment plan.Assignment) bool {
	now, assigned := d.plan.Assignment(assignment.Package)
	return assigned && now.NotifiedAt.Equal(assignment.NotifiedAt)
}

func infoStored(p *vault.Package) plan.InfoStored {
	return plan.InfoStored{
		Package: p.Info().ID, Priority: p.Info().Priority, Info: p.InfoDigest(), Held: p.Held(),
		NotBefore: p.Info().NotBefore,
	}
}

// A finalError ends a package: no repetition helps.
type finalError struct {
	state outcome.State
	error
}

func (e *finalError) Unwrap() error { return e.error }

// A sealed is a package's verified info file with its digests.
type sealed struct {
	vault.Sealed
	digests []byte // none without archive
}

// obtain brings a package's info file into the vault, from a member or from the server. A *finalError says that it
// never will.
func (d *daemon) obtain(ctx context.Context, assignment plan.Assignment) (*vault.Package, error) {
	had, isHad := d.documents(ctx, assignment)
	if !isHad {
		var err error
		if had, err = d.download(ctx, assignment); err != nil {
			return nil, err
		}
	}
	return d.vault.Add(had.Sealed, had.digests)
}

// download fetches a package's info file and digests from the server, and verifies both.
func (d *daemon) download(ctx context.Context, assignment plan.Assignment) (sealed, error) {
	client := d.talker.Client()
	place := fmt.Sprintf("https://%s/%s/", assignment.InfoLocation, assignment.Package)
	envelope, err := client.Get(ctx, place+"info.dsse", seal.MaxEnvelope)
	if errors.Is(err, origin.ErrNotThere) {
		return sealed{}, &finalError{outcome.BadID, err}
	}
	if err != nil {
		return sealed{}, err
	}
	had, err := d.unseal(envelope, assignment)
	if err != nil {
		return sealed{}, fmt.Errorf("%sinfo.dsse: %w", place, err)
	}
	archive := had.Info.Archive
	if archive == nil {
		return had, nil
	}
	had.digests, err = client.Get(ctx, place+"digests", archive.Plan.Count()*len(core.Digest{}))
	if err != nil {
		return sealed{}, err
	}
	if _, err := fragment.ParseDigests(had.digests, archive.Plan, archive.Digests); err != nil {
		return sealed{}, &finalError{outcome.BadDigest, fmt.Errorf("%sdigests: %w", place, err)}
	}
	return had, nil
}

// unseal verifies an envelope and holds it to what was assigned.
func (d *daemon) unseal(envelope []byte, assignment plan.Assignment) (sealed, error) {
	verified, err := vault.Unseal(envelope, d.known.Policy(), d.known.Deployment)
	if err != nil {
		return sealed{}, &finalError{outcome.BadDigest, err}
	}
	return sealed{Sealed: verified}, judge(verified, assignment)
}

// judge holds a verified info file to what was assigned and to this computer.
func judge(sealed vault.Sealed, assignment plan.Assignment) error {
	switch {
	case sealed.Info.ID != assignment.Package:
		return &finalError{outcome.BadID, core.Refuse(core.ClassHash, "the info file is that of package %s",
			sealed.Info.ID)}
	case assignment.InfoDigest != core.Digest{} && sealed.Digest != assignment.InfoDigest:
		return &finalError{outcome.BadDigest, core.Refuse(core.ClassHash,
			"the info file is not the one that the server has announced")}
	case string(sealed.Info.OS) != runtime.GOOS:
		return &finalError{outcome.Execute, core.Refuse(core.ClassType, "the package is for %s, this computer has %s",
			sealed.Info.OS, runtime.GOOS)}
	}
	return nil
}

// fetchFragment fetches one fragment from the origin, verifies and stores it.
func (d *daemon) fetchFragment(ctx context.Context, assignment plan.Assignment, index core.FragmentIndex) answer {
	id := assignment.Package
	p := d.vault.Find(id)
	if p == nil { // dropped meanwhile; the plan ignores the answer
		return func() plan.Event { return plan.FragmentFailed{Package: id, Index: index} }
	}
	info := p.Info()
	address := fmt.Sprintf("%s://%s/%s/%s-%d", strings.ToLower(string(info.Protocol)), assignment.FragmentsLocation,
		id, id, index+1)
	data, err := d.talker.Client().Fragment(ctx, address, info.Archive.Plan.Size(index))
	corrupt := false // only whole fragments with other bytes count: a page of some portal is no fragment
	if err == nil {
		err = p.Store(index, data)
		corrupt = core.ClassOf(err) == core.ClassHash
	}
	return func() plan.Event {
		if err == nil {
			d.stored(p)
			d.swarm.sources.add(id, info.Archive.Plan.Size(index), 0)
			return plan.FragmentStored{Package: id, Index: index}
		}
		d.options.Log.Warn("fragment not to be had", "package", id, "fragment", index+1, "reason", err)
		switch {
		case core.ClassOf(err) != "":
			return plan.FragmentFailed{Package: id, Index: index, Corrupt: corrupt, Problem: err.Error()}
		case errors.Is(err, origin.ErrNotThere):
			return plan.FragmentFailed{Package: id, Index: index, Problem: err.Error()}
		}
		return plan.OriginFailed{Package: id, Index: index, Problem: err.Error()}
	}
}

// stored sees to it that a fragment becomes durable in time. The last one has seen to it itself, and the package is
// hashed now, which nobody must wait for.
func (d *daemon) stored(p *vault.Package) {
	id := p.Info().ID
	if p.Missing() == 0 {
		delete(d.unflushed, id)
		return
	}
	if len(d.unflushed) == 0 {
		d.flushAt = d.clock.now().Add(flushAfter)
	}
	d.unflushed[id] = true
}

// flush makes stored fragments durable when it is time.
func (d *daemon) flush() {
	if len(d.unflushed) == 0 || d.clock.now().Before(d.flushAt) {
		return
	}
	for id := range d.unflushed {
		if p := d.vault.Find(id); p != nil {
			if err := p.Flush(); err != nil {
				d.options.Log.Error("fragments cannot be made durable", "package", id, "reason", err)
			}
		}
	}
	clear(d.unflushed)
}
