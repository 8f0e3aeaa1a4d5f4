package store

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"enjambre/core"
	"enjambre/server/internal/query"
)

// A Selection chooses computers: all of them, those that a query matches, or those that are named.
// Exactly one of its fields is set.
type Selection struct {
	All     bool
	Query   query.Expr
	Devices []core.DeviceID
}

// A selected is a computer with its row.
type selected struct {
	Computer
	id int64
}

// computers returns the chosen computers, by name and device ID. A named one that does not exist is
// ErrUnknownComputer.
func (s Selection) computers(ctx context.Context, tx *transaction, now time.Time) ([]selected, error) {
	if len(s.Devices) > 0 {
		return namedComputers(ctx, tx, s.Devices)
	}
	match := func(*selected) bool { return true }
	if !s.All {
		m, err := newMatcher(ctx, tx, s.Query, now)
		if err != nil {
			return nil, err
		}
		match = m.matches
	}
	var list []selected
	err := each(ctx, tx, func(scan func(...any) error) error {
		var one selected
		var err error
		one.id, one.Computer, err = scanComputer(scan)
		if err == nil && match(&one) {
			list = append(list, one)
		}
		return err
	}, "SELECT "+computerColumns+" FROM computers ORDER BY name, device")
	return list, err
}

func namedComputers(ctx context.Context, tx *transaction, devices []core.DeviceID) ([]selected, error) {
	var list []selected
	var problems []error
	devices = slices.Compact(slices.Sorted(slices.Values(devices)))
	for _, device := range devices {
		id, err := computerID(ctx, tx, device)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		one := selected{id: id}
		_, one.Computer, err = scanComputer(
			tx.QueryRowContext(ctx, "SELECT "+computerColumns+" FROM computers WHERE id = ?", id).Scan)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	slices.SortStableFunc(list, func(a, b selected) int { return strings.Compare(a.Name, b.Name) })
	return list, errors.Join(problems...)
}

// Search returns the computers of a selection, by name and device ID.
func (s *Store) Search(ctx context.Context, selection Selection, now time.Time) ([]Computer, error) {
	found := []Computer{}
	err := s.view(ctx, func(tx *transaction) error {
		list, err := selection.computers(ctx, tx, now)
		for _, one := range list {
			found = append(found, one.Computer)
		}
		return err
	})
	return found, err
}

// valueColumns are the columns of the fields that Values lists.
var valueColumns = map[query.Field]string{
	query.FieldName: "name", query.FieldOS: "os", query.FieldTag: "tag", query.FieldUser: "user",
	query.FieldSerial: "serial", query.FieldAgent: "agent",
}

// Values returns the different values that there are of a text field: for the site, all sites.
func (s *Store) Values(ctx context.Context, field query.Field) (values []string, err error) {
	text := "SELECT name FROM sites"
	if column, found := valueColumns[field]; found {
		text = "SELECT DISTINCT " + column + " FROM computers"
	} else if field != query.FieldSite {
		return nil, nil
	}
	err = s.view(ctx, func(tx *transaction) error {
		return readList(ctx, tx, &values, func(value *string) []any { return []any{value} }, text)
	})
	return values, err
}

// A matcher evaluates a query for one computer after another. The lists that a query may ask about are
// read beforehand, and only those it does ask about: of programs, the ones that some software term
// names, which are found among the distinct programs of all computers, not among each one's thousand.
type matcher struct {
	expr      query.Expr
	now       time.Time
	software  map[int64][]query.SoftwareItem
	states    map[int64]map[core.PackageID]string
	addresses map[int64][]Address
}

func newMatcher(ctx context.Context, tx *transaction, expr query.Expr, now time.Time) (*matcher, error) {
	m := &matcher{expr: expr, now: now, software: map[int64][]query.SoftwareItem{},
		states: map[int64]map[core.PackageID]string{}, addresses: map[int64][]Address{}}
	terms := collect(expr, nil)
	var software []query.Software
	packages := map[core.PackageID]bool{}
	addressed := false
	for _, term := range terms {
		switch term := term.(type) {
		case query.Software:
			software = append(software, term)
		case query.State:
			packages[term.Package] = true
		case query.Compare:
			addressed = addressed || term.Field == query.FieldIP || term.Field == query.FieldMAC
		}
	}
	if err := m.readSoftware(ctx, tx, software); err != nil {
		return nil, err
	}
	for id := range packages {
		if err := m.readStates(ctx, tx, id); err != nil {
			return nil, err
		}
	}
	if addressed {
		return m, m.readAddresses(ctx, tx)
	}
	return m, nil
}

// collect appends the terms of an expression that are not made of others.
func collect(expr query.Expr, to []query.Expr) []query.Expr {
	switch e := expr.(type) {
	case query.And:
		for _, term := range e.Terms {
			to = collect(term, to)
		}
	case query.Or:
		for _, term := range e.Terms {
			to = collect(term, to)
		}
	case query.Not:
		to = collect(e.Term, to)
	default:
		to = append(to, e)
	}
	return to
}

func (m *matcher) readSoftware(ctx context.Context, tx *transaction, terms []query.Software) error {
	if len(terms) == 0 {
		return nil
	}
	wanted := map[int64]query.SoftwareItem{}
	err := each(ctx, tx, func(scan func(...any) error) error {
		var id int64
		var item query.SoftwareItem
		err := scan(&id, &item.Name, &item.Version)
		only := query.Computer{Software: []query.SoftwareItem{item}}
		if slices.ContainsFunc(terms, func(term query.Software) bool { return query.Match(term, only, m.now) }) {
			wanted[id] = item
		}
		return err
	}, "SELECT id, name, version FROM programs")
	if err != nil {
		return err
	}
	for program, item := range wanted {
		err := each(ctx, tx, func(scan func(...any) error) error {
			var computer int64
			err := scan(&computer)
			m.software[computer] = append(m.software[computer], item)
			return err
		}, "SELECT computer FROM installed WHERE program = ?", program)
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *matcher) readStates(ctx context.Context, tx *transaction, id core.PackageID) error {
	return each(ctx, tx, func(scan func(...any) error) error {
		var computer int64
		var state string
		err := scan(&computer, &state)
		if m.states[computer] == nil {
			m.states[computer] = map[core.PackageID]string{}
		}
		m.states[computer][id] = state
		return err
	}, "SELECT computer, state FROM affectations WHERE package = ?", id)
}

func (m *matcher) readAddresses(ctx context.Context, tx *transaction) error {
	return each(ctx, tx, func(scan func(...any) error) error {
		var computer int64
		var a Address
		err := scan(&computer, &a.IP, &a.MAC)
		m.addresses[computer] = append(m.addresses[computer], a)
		return err
	}, "SELECT computer, ip, mac FROM addresses")
}

// matches evaluates the query for one computer.
func (m *matcher) matches(one *selected) bool {
	c := query.Computer{
		Name: one.Name, OS: one.OS, Family: one.Family, Site: string(one.Site), Tag: one.Tag, User: one.User,
		Serial: one.Serial, Agent: one.Agent, MemoryBytes: one.Memory, DiskBytes: one.Disk,
		LastContact: one.LastContact, Inventory: one.Inventoried,
		Software: m.software[one.id], States: m.states[one.id],
	}
	for _, address := range m.addresses[one.id] {
		if ip, err := netip.ParseAddr(strings.TrimSpace(address.IP)); err == nil {
			c.IPs = append(c.IPs, ip)
		}
		if address.MAC != "" {
			c.MACs = append(c.MACs, address.MAC)
		}
	}
	return query.Match(m.expr, c, m.now.Truncate(time.Second))
}
