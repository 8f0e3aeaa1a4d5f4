package origin

import (
	"context"

	"enjambre/core"
	"enjambre/peer/lease"
)

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
