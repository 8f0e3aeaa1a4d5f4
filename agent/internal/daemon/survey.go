package daemon

import (
	"context"

	"enjambre/agent/internal/inventory"
	"enjambre/agent/internal/state"
	"enjambre/core/ocs"
)

// seenName is the file of what the server has last accepted of the inventory.
const seenName = "seen"

// survey makes the inventory, with the bits of what has changed since the server accepted the last one.
func (d *daemon) survey(ctx context.Context, account []ocs.AccountField) (ocs.Inventory, func() error, error) {
	sections, err := inventory.Collect(ctx, inventory.System{Log: d.options.Log})
	if err != nil {
		return ocs.Inventory{}, nil, err
	}
	seen, err := state.Recall(d.options.State, seenName, inventory.Seen(nil))
	if err != nil {
		d.options.Log.Warn("what the server knows of the inventory is forgotten; all is sent anew", "reason", err)
	}
	sum, next := inventory.Checksum(sections, seen)
	accepted := func() error { return d.options.State.Save(seenName, next) }
	return inventory.Append(sections, sum, account, d.ledger.Installed()), accepted, nil
}
