package origin

import (
	"context"
	"errors"
	"time"

	"enjambre/core"
	"enjambre/core/seal"
	"enjambre/peer/lease"
)

// refresh looks at all that others may have changed, for storeWait in all: bodies that run wait for it, and must not be
// taken for dead by it.
func (k *keeper) refresh(ctx context.Context) {
	looking, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	err := errors.Join(k.refreshMembers(looking), k.refreshPackages(looking), k.refreshPolicy(looking))
	if err != nil && ctx.Err() == nil {
		k.log.Error("members, packages or policy of a site are as they were", "reason", err)
	}
	k.refreshedAt = time.Now()
}

// refreshPackages reports the packages on record.
func (k *keeper) refreshPackages(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	list, err := k.options.Store.PackagesOnRecord(ctx)
	if err != nil {
		return err
	}
	gone := map[core.PackageID]bool{}
	for id := range k.known {
		gone[id] = true
	}
	for _, p := range list {
		delete(gone, p.ID)
		k.learn(p)
	}
	for id := range gone {
		k.forget(id)
	}
	return nil
}

// refreshPolicy reports the site's policy.
func (k *keeper) refreshPolicy(ctx context.Context) error {
	if k.options.Policy == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	policy, err := k.options.Policy(ctx, k.name)
	if err == nil {
		err = policy.Validate()
	}
	if err == nil {
		k.step(lease.PolicyChanged{Policy: policy})
	}
	return err
}

// look sees who is still at the site, before a request when it is time.
func (k *keeper) look(ctx context.Context) {
	if err := k.refreshMembers(ctx); err != nil && ctx.Err() == nil {
		k.log.Error("members of a site are as they were", "reason", err)
	}
}

// refreshMembers reports the members that may not speak for a computer at the site any more, whoever took that from
// them: this process or another. Without an answer of the store nobody has left.
func (k *keeper) refreshMembers(ctx context.Context) error {
	members := k.site.Members()
	if len(members) == 0 {
		k.lookedAt = time.Now()
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	present, err := k.options.Store.AgentsAt(ctx, k.name)
	k.lookedAt = time.Now() // also if it failed: each request would wait for another look
	if err != nil {
		return err
	}
	left := 0
	for _, one := range members {
		if !present[seal.KeyIDOf(one[:]).String()] {
			left++
			k.meetings.forget(one)
			k.step(lease.MemberLeft{Member: one})
		}
	}
	if left > 0 {
		k.leftAt = k.lookedAt
		k.log.Info("members have left the site: they are lent nothing, and hold nothing for others", "members", left)
	}
	return nil
}
