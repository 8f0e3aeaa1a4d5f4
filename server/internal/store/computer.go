package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/server/internal/system"
)

// A Computer is what the server knows of a computer.
type Computer struct {
	Device       core.DeviceID `json:"computer"`
	Name         string        `json:"name"`
	OS           string        `json:"os"`
	Family       core.OS       `json:"family"` // "" for neither Windows nor Linux
	Agent        string        `json:"agent"`
	Site         core.SiteName `json:"site"` // where it was judged to be at its last contact
	Tag          string        `json:"tag"`
	User         string        `json:"user"` // who was seen last; several are joined by query.UserSeparator
	Serial       string        `json:"serial"`
	UUID         string        `json:"uuid"`
	Manufacturer string        `json:"manufacturer"`
	Model        string        `json:"model"`
	Memory       int64         `json:"memory"` // bytes
	Disk         int64         `json:"disk"`   // bytes free on the local drive with the most of them
	FirstSeen    time.Time     `json:"firstSeen"`
	LastContact  time.Time     `json:"lastContact,omitzero"`
	Inventoried  time.Time     `json:"inventory,omitzero"` // zero: never
}

const computerColumns = `id, device, name, os, family, agent, judged_site, tag, user, serial, uuid, manufacturer,
	model, memory, disk, first_seen, last_contact, inventoried`

func scanComputer(scan func(...any) error) (id int64, c Computer, err error) {
	var first, contact, inventoried int64
	err = scan(&id, &c.Device, &c.Name, &c.OS, &c.Family, &c.Agent, &c.Site, &c.Tag, &c.User, &c.Serial,
		&c.UUID, &c.Manufacturer, &c.Model, &c.Memory, &c.Disk, &first, &contact, &inventoried)
	c.Family = system.Settled(c.Family, c.OS)
	c.FirstSeen, c.LastContact, c.Inventoried = moment(first), moment(contact), moment(inventoried)
	return id, c, err
}

// Facts are what an inventory says of a computer, ready to be kept. An empty text, and a Memory of 0, were not said:
// what is known stays.
type Facts struct {
	Computer            // site, tag and times are not read from here
	Key       string    // ID of the key that the agent proved; "" for a stock agent
	Addresses []Address // nil: unchanged
	Programs  []Program // nil: unchanged
	History   []core.PackageID
	Reported  bool // whether History was said, if only to be empty
	KeepDisk  bool // Disk was not said: what is known stays
	KeepBIOS  bool // Serial, Manufacturer and Model were not said: what is known stays
	Account   []ocs.AccountField
	Egress    netip.Addr // where its connection came from; zero: unknown
}

// An Address is one address of a network adapter; IP is "" for an adapter without.
type Address struct {
	IP  string `json:"ip,omitempty"`
	MAC string `json:"mac,omitempty"`
}

// A Program is an installed software.
type Program struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// SaveInventory keeps an inventory: a new computer is made, a known one brought up to date. When old is
// not empty, unknown computers are looked up under it first: a computer whose name changed keeps its
// site, settings and affectations. Where a stock computer is, is judged at once, since its addresses may be new and it
// may not call again for a day. It returns the account fields that the agent should take over.
func (s *Store) SaveInventory(ctx context.Context, facts Facts, old core.DeviceID,
	now time.Time) (update []ocs.AccountField, err error) {
	err = s.together(ctx, func(ctx context.Context, tx *transaction) error {
		id, err := s.findOrAdd(ctx, tx, facts.Device, old, now)
		if err != nil {
			return err
		}
		if err := (Caller{facts.Device, facts.Key}).check(ctx, tx, id); err != nil {
			return err
		}
		if err := errors.Join(taken(ctx, tx, id, ocs.QueryInventory), replaceHardware(ctx, tx, id, facts, now)); err != nil {
			return err
		}
		if update, err = settleAccount(ctx, tx, id, facts.Account); err != nil {
			return err
		}
		if err := replaceLists(ctx, tx, id, facts); err != nil || facts.Key != "" {
			return err
		}
		return s.placeStock(ctx, tx, id, facts.Egress)
	})
	return update, err
}

// updateHardware replaces what an inventory says. What it leaves empty it could not read this time: what is known of it
// stays, such as the user who was seen last. The family is the system's, and changes with its name.
const updateHardware = `UPDATE computers SET
	name = iif(?1 = '', name, ?1), family = iif(?2 = '' AND os <> '', family, ?3), os = iif(?2 = '', os, ?2),
	agent = iif(?4 = '', agent, ?4), user = iif(?5 = '', user, ?5), uuid = iif(?6 = '', uuid, ?6),
	memory = iif(?7 = 0, memory, ?7), last_contact = ?8, inventoried = ?8, disk = iif(?9, disk, ?10),
	serial = iif(?11 OR ?12 = '', serial, ?12), manufacturer = iif(?11 OR ?13 = '', manufacturer, ?13),
	model = iif(?11 OR ?14 = '', model, ?14) WHERE id = ?15`

func replaceHardware(ctx context.Context, tx *transaction, id int64, facts Facts, now time.Time) error {
	_, err := execute(ctx, tx, updateHardware, facts.Name, facts.OS, facts.Family, facts.Agent, facts.User, facts.UUID,
		facts.Memory, unix(now), facts.KeepDisk, facts.Disk, facts.KeepBIOS, facts.Serial, facts.Manufacturer, facts.Model, id)
	return err
}

// findOrAdd returns the row of the computer, made now if need be.
func (s *Store) findOrAdd(ctx context.Context, tx *transaction, device, old core.DeviceID, now time.Time) (id int64, err error) {
	id, err = computerID(ctx, tx, device)
	if errors.Is(err, ErrUnknownComputer) && old != "" {
		if id, err = computerID(ctx, tx, old); err == nil {
			if err := Stock(old).check(ctx, tx, id); err != nil { // only stock agents change their name
				return 0, err
			}
			_, err = execute(ctx, tx, "UPDATE computers SET device = ? WHERE id = ?", device, id)
			return id, err
		}
	}
	if !errors.Is(err, ErrUnknownComputer) {
		return id, err
	}
	var computers int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM computers").Scan(&computers); err != nil {
		return 0, err
	}
	if computers >= s.mostComputers {
		return 0, fmt.Errorf("computer %s: %w", device, ErrTooMany)
	}
	row := tx.QueryRowContext(ctx, `INSERT INTO computers (device, name, os, family, agent, site, tag, tag_owner, user,
		serial, uuid, manufacturer, model, memory, disk, agent_key, enrolled, certified, revoked, first_seen,
		last_contact, inventoried) VALUES (?,'','','','','','',0,'','','','','',0,0,'',0,0,0,?,0,0) RETURNING id`, device, unix(now))
	return id, row.Scan(&id)
}

const selectTag = "SELECT tag, tag_owner FROM computers WHERE id = ?"

// Whose a computer's tag is; see column tag_owner.
const (
	tagOfAgent = iota
	tagToSend
	tagSent
)

// settleAccount decides between the agent's tag and ours. The agent's is taken while we have none; later
// ours holds, and a computer that says otherwise is told so once: an agent whose file cannot hold it would
// otherwise be told for ever. The Unix agent replaces all its fields by those it is sent, so the others are
// sent back with the tag.
func settleAccount(ctx context.Context, tx *transaction, id int64, account []ocs.AccountField) ([]ocs.AccountField, error) {
	var ours string
	var owner int
	if err := tx.QueryRowContext(ctx, selectTag, id).Scan(&ours, &owner); err != nil {
		return nil, err
	}
	theirs := ""
	update := []ocs.AccountField{{Key: ocs.TagKey, Value: ours}}
	for _, field := range account {
		if field.Key == ocs.TagKey {
			theirs = field.Value
		} else {
			update = append(update, field)
		}
	}
	switch {
	case theirs == ours, owner == tagSent:
		return nil, nil
	case owner == tagOfAgent && ours == "":
		_, err := execute(ctx, tx, "UPDATE computers SET tag = ? WHERE id = ?", theirs, id)
		return nil, err
	}
	_, err := execute(ctx, tx, "UPDATE computers SET tag_owner = ? WHERE id = ?", tagSent, id)
	return update, err
}

// SaveAddresses replaces the addresses of those adapters, known by their MAC, that a computer says have
// changed, and notes the contact. An unknown computer is ErrUnknownComputer.
func (s *Store) SaveAddresses(ctx context.Context, from Caller, addresses []Address, now time.Time) error {
	return s.together(ctx, func(ctx context.Context, tx *transaction) error {
		id, err := from.row(ctx, tx)
		if err != nil {
			return err
		}
		for _, a := range addresses {
			if _, err := execute(ctx, tx, "DELETE FROM addresses WHERE computer = ? AND mac = ?", id, a.MAC); err != nil {
				return err
			}
		}
		for _, a := range addresses {
			if _, err := execute(ctx, tx, insertAddress, id, a.IP, a.MAC, MaxAddresses); err != nil {
				return err
			}
		}
		_, err = execute(ctx, tx, touchComputer, unix(now), "", "", id)
		return errors.Join(err, taken(ctx, tx, id, ocs.QueryNotify))
	})
}

// MaxAddresses is how many addresses are kept of one computer. Notifications, which anybody can send in a
// stock agent's name, only ever add adapters, so there must be an end.
const MaxAddresses = 256

// insertAddress keeps one more address, if there is room.
const insertAddress = `INSERT OR IGNORE INTO addresses (computer, ip, mac) SELECT ?1, ?2, ?3
	WHERE (SELECT count(*) FROM addresses WHERE computer = ?1) < ?4`

// A Result is one result that a computer reported.
type Result struct {
	Package  core.PackageID `json:"package"`
	Text     string         `json:"text"`
	Exit     string         `json:"exit,omitempty"`
	Detail   string         `json:"detail,omitempty"`
	Output   string         `json:"output,omitempty"`
	Received time.Time      `json:"received"`
	Repeated int            `json:"repeated"`
}

// A ComputerView is all there is to show of one computer.
type ComputerView struct {
	Computer
	Place        Place            `json:"place"`
	Refused      *Refusal         `json:"refused,omitempty"` // nil: its last messages were taken
	Addresses    []Address        `json:"addresses"`
	Affectations []Affectation    `json:"affectations"`
	History      []core.PackageID `json:"history"` // what it says it has installed
	Results      []Result         `json:"results"` // newest first, at most 100
	Programs     []Program        `json:"programs"`
}

// Computer returns one computer, or ErrUnknownComputer.
func (s *Store) Computer(ctx context.Context, device core.DeviceID) (view ComputerView, err error) {
	view = ComputerView{Addresses: []Address{}, Affectations: []Affectation{}, History: []core.PackageID{},
		Results: []Result{}, Programs: []Program{}}
	err = s.view(ctx, func(tx *transaction) error {
		id, err := computerID(ctx, tx, device)
		if err != nil {
			return err
		}
		if _, view.Computer, err = scanComputer(tx.QueryRowContext(ctx, "SELECT "+computerColumns+" FROM computers WHERE id = ?", id).Scan); err != nil {
			return err
		}
		if view.Place, err = readPlace(ctx, tx, id); err != nil {
			return err
		}
		if view.Refused, err = readRefusal(ctx, tx, id); err != nil {
			return err
		}
		return errors.Join(
			readList(ctx, tx, &view.Addresses, func(a *Address) []any { return []any{&a.IP, &a.MAC} },
				"SELECT ip, mac FROM addresses WHERE computer = ? ORDER BY mac, ip", id),
			readList(ctx, tx, &view.History, func(p *core.PackageID) []any { return []any{p} },
				"SELECT package FROM history WHERE computer = ? ORDER BY package", id),
			readList(
				ctx,
				tx,
				&view.Programs,
				func(p *Program) []any { return []any{&p.Name, &p.Version} },
				"SELECT name, version FROM installed JOIN programs ON id = program WHERE computer = ? ORDER BY name, version",
				id,
			),
			readResults(ctx, tx, &view.Results, id),
			readAffectations(ctx, tx, &view.Affectations, id),
		)
	})
	return view, err
}

// readList appends one value for each row.
func readList[T any](ctx context.Context, tx *transaction, list *[]T, into func(*T) []any, text string,
	args ...any) error {
	return each(ctx, tx, func(scan func(...any) error) error {
		var one T
		err := scan(into(&one)...)
		*list = append(*list, one)
		return err
	}, text, args...)
}

func readResults(ctx context.Context, tx *transaction, list *[]Result, computer int64) error {
	return each(ctx, tx, func(scan func(...any) error) error {
		var r Result
		var received int64
		err := scan(&r.Package, &r.Text, &r.Exit, &r.Detail, &r.Output, &received, &r.Repeated)
		r.Received = moment(received)
		*list = append(*list, r)
		return err
	}, `SELECT package, text, exit, detail, output, received, repeated FROM results
		WHERE computer = ? ORDER BY id DESC LIMIT 100`, computer)
}

// DeleteComputer forgets a computer with everything about it. One with a stock agent comes back as a new one
// when its agent calls again; an enrolled agent must enrol anew, which takes another use of a token, and the
// gossip key of its site is replaced.
func (s *Store) DeleteComputer(ctx context.Context, device core.DeviceID, now time.Time) error {
	return s.change(ctx, func(tx *transaction) error {
		id, err := computerID(ctx, tx, device)
		if err != nil {
			return err
		}
		var member bool
		err = tx.QueryRowContext(ctx, "SELECT agent_key <> '' AND revoked = 0 FROM computers WHERE id = ?", id).Scan(&member)
		if err != nil {
			return err
		}
		if member { // no longer
			if err := expel(ctx, tx, id, now); err != nil {
				return err
			}
		}
		_, err = execute(ctx, tx, "DELETE FROM computers WHERE id = ?", id)
		return err
	})
}
