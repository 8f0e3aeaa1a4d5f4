package store

import (
	"context"

	"enjambre/core"
)

const (
	selectAddresses = "SELECT ip, mac FROM addresses WHERE computer = ?"
	deleteAddress   = "DELETE FROM addresses WHERE computer = ? AND ip = ? AND mac = ?"
	selectHistory   = "SELECT package FROM history WHERE computer = ?"
	deleteHistory   = "DELETE FROM history WHERE computer = ? AND package = ?"
	// An ID that was never ours would only take room.
	insertHistory   = "INSERT OR IGNORE INTO history (computer, package) SELECT ?1, id FROM package_ids WHERE id = ?2"
	selectInstalled = "SELECT name, version FROM installed JOIN programs ON id = program WHERE computer = ?"
	deleteInstalled = `DELETE FROM installed WHERE computer = ?1
		AND program = (SELECT id FROM programs WHERE name = ?2 AND version = ?3)`
	insertProgram   = "INSERT OR IGNORE INTO programs (name, version) VALUES (?, ?)"
	insertInstalled = `INSERT OR IGNORE INTO installed (computer, program)
		SELECT ?1, id FROM programs WHERE name = ?2 AND version = ?3`
)

// replaceLists replaces those lists of a computer that the inventory names. Only what differs is written, since most of
// an inventory is what the last one said.
func replaceLists(ctx context.Context, tx *transaction, id int64, facts Facts) error {
	if facts.Addresses != nil {
		if err := replaceAddresses(ctx, tx, id, facts.Addresses); err != nil {
			return err
		}
	}
	if facts.Reported {
		if err := replaceHistory(ctx, tx, id, facts.History); err != nil {
			return err
		}
	}
	if facts.Programs == nil {
		return nil
	}
	return replacePrograms(ctx, tx, id, facts.Programs)
}

func replaceAddresses(ctx context.Context, tx *transaction, id int64, addresses []Address) error {
	var known []Address
	err := readList(ctx, tx, &known, func(a *Address) []any { return []any{&a.IP, &a.MAC} }, selectAddresses, id)
	if err != nil {
		return err
	}
	gone, fresh := differences(known, addresses)
	for _, a := range gone {
		if _, err := execute(ctx, tx, deleteAddress, id, a.IP, a.MAC); err != nil {
			return err
		}
	}
	for _, a := range fresh {
		if _, err := execute(ctx, tx, insertAddress, id, a.IP, a.MAC, MaxAddresses); err != nil {
			return err
		}
	}
	return nil
}

func replaceHistory(ctx context.Context, tx *transaction, id int64, history []core.PackageID) error {
	var known []core.PackageID
	err := readList(ctx, tx, &known, func(p *core.PackageID) []any { return []any{p} }, selectHistory, id)
	if err != nil {
		return err
	}
	gone, fresh := differences(known, history)
	for _, p := range gone {
		if _, err := execute(ctx, tx, deleteHistory, id, p); err != nil {
			return err
		}
	}
	for _, p := range fresh {
		if _, err := execute(ctx, tx, insertHistory, id, p); err != nil {
			return err
		}
	}
	return nil
}

func replacePrograms(ctx context.Context, tx *transaction, id int64, programs []Program) error {
	var known []Program
	err := readList(ctx, tx, &known, func(p *Program) []any { return []any{&p.Name, &p.Version} }, selectInstalled, id)
	if err != nil {
		return err
	}
	gone, fresh := differences(known, programs)
	for _, p := range gone {
		if _, err := execute(ctx, tx, deleteInstalled, id, p.Name, p.Version); err != nil {
			return err
		}
	}
	for _, p := range fresh {
		if _, err := execute(ctx, tx, insertProgram, p.Name, p.Version); err != nil {
			return err
		}
		if _, err := execute(ctx, tx, insertInstalled, id, p.Name, p.Version); err != nil {
			return err
		}
	}
	return nil
}

// differences returns what of known is not wanted, and what of wanted is not known, each once and in order.
func differences[T comparable](known, wanted []T) (gone, fresh []T) {
	have := make(map[T]bool, len(known)) // whether it is wanted, too
	for _, one := range known {
		have[one] = false
	}
	for _, one := range wanted {
		if _, is := have[one]; !is {
			fresh = append(fresh, one)
		}
		have[one] = true
	}
	for _, one := range known {
		if !have[one] {
			gone = append(gone, one)
		}
	}
	return gone, fresh
}
