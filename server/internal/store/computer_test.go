package store

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
	"enjambre/server/internal/query"
)

func TestTags(t *testing.T) {
	f := newFixture(t)
	call := func(name, tag string) []ocs.AccountField {
		t.Helper()
		facts := Facts{
			Computer: Computer{Device: device(name)},
			Account:  []ocs.AccountField{{Key: "fields_3", Value: "room 12"}},
		}
		if tag != "" {
			facts.Account = append(facts.Account, ocs.AccountField{Key: ocs.TagKey, Value: tag})
		}
		update, err := f.SaveInventory(f.ctx(), facts, "", now)
		f.check(err)
		return update
	}
	tag := func(name string) string {
		view, err := f.Computer(f.ctx(), device(name))
		f.check(err)
		return view.Tag
	}
	f.want("a new computer's own", call("a", "PARIS"), []ocs.AccountField{})
	f.want("taken", tag("a"), "PARIS")
	lyon := "LYON"
	f.check(f.SetComputer(f.ctx(), device("a"), nil, &lyon))
	want := []ocs.AccountField{{Key: ocs.TagKey, Value: "LYON"}, {Key: "fields_3", Value: "room 12"}}
	f.want("ours is sent, with the other fields", call("a", "PARIS"), want)
	f.want("but once: an agent that cannot keep it would be told for ever", call("a", "PARIS"),
		[]ocs.AccountField{})
	f.want("ours stays", tag("a"), "LYON")
	f.want("taken over", call("a", "LYON"), []ocs.AccountField{})
	f.check(f.SetComputer(f.ctx(), device("a"), nil, &lyon))
	f.want("set again, lost by the agent", call("a", ""), want)

	f.want("without a tag", call("b", ""), []ocs.AccountField{})
	f.want("a later one is taken", call("b", "OSLO"), []ocs.AccountField{})
	f.want("taken", tag("b"), "OSLO")
	none := ""
	f.check(f.SetComputer(f.ctx(), device("b"), nil, &none))
	f.want("an emptied tag is sent", call("b", "OSLO")[0].Value, "")
	f.want("and stays empty", tag("b"), "")
}

func TestOldDevice(t *testing.T) {
	f := newFixture(t)
	old := f.computer("old")
	id := f.affected(old)
	site := core.SiteName("lyon")
	f.check(f.SetComputer(f.ctx(), old, &site, nil))
	renamed := device("new")
	_, err := f.SaveInventory(f.ctx(),
		Facts{Computer: Computer{Device: renamed, Name: "new", Family: core.Linux}}, old, now)
	f.check(err)
	_, err = f.Computer(f.ctx(), old)
	wantIs(t, err, ErrUnknownComputer)
	view, err := f.Computer(f.ctx(), renamed)
	f.check(err)
	f.want("site", view.Site, "lyon")
	f.wantRecord(renamed, id, outcome.Waiting, "")
	// When both are known, neither swallows the other.
	other := f.computer("other")
	_, err = f.SaveInventory(f.ctx(), Facts{Computer: Computer{Device: renamed, Family: core.Linux}}, other,
		now)
	f.check(err)
	_, err = f.Computer(f.ctx(), other)
	f.check(err)
}

func TestInventoryLists(t *testing.T) {
	f := newFixture(t)
	a := device("a")
	id := f.pkg(5)
	save := func(facts Facts) ComputerView {
		t.Helper()
		facts.Device = a
		_, err := f.SaveInventory(f.ctx(), facts, "", now)
		f.check(err)
		view, err := f.Computer(f.ctx(), a)
		f.check(err)
		return view
	}
	view := save(
		Facts{
			Programs:  []Program{{"bash", "5"}, {"bash", "5"}, {"dash", ""}},
			Addresses: []Address{{"10.0.0.1", "m"}},
			History:   []core.PackageID{id, 999},
			Reported:  true,
		},
	)
	f.want("programs", view.Programs, []Program{{"bash", "5"}, {"dash", ""}})
	f.want("history: only what was ever ours", view.History, []core.PackageID{id})
	view = save(Facts{})
	f.want("nothing said, nothing changed", []int{len(view.Programs), len(view.Addresses), len(view.History)},
		[]int{2, 1, 1})
	view = save(Facts{Programs: []Program{{"zsh", "5"}}, Addresses: []Address{}, Reported: true})
	f.want("replaced", []any{view.Programs, len(view.Addresses), len(view.History)},
		[]any{[]Program{{"zsh", "5"}}, 0, 0})
	f.check(f.DeleteComputer(f.ctx(), a, now))
	_, err := f.Tidy(f.ctx(), 0, now)
	f.check(err)
	var programs int
	f.check(f.read.QueryRow("SELECT count(*) FROM programs").Scan(&programs))
	f.want("programs that nobody has are forgotten", programs, 0)
}

func TestInventoryKeepsWhatIsNotSaid(t *testing.T) {
	f := newFixture(t)
	a := device("a")
	type kept struct {
		serial, manufacturer, model string
		disk                        int64
	}
	full := Facts{Computer: Computer{Device: a, Serial: "S1", Manufacturer: "Maker", Model: "M1", Disk: 5 << 30}}
	for _, c := range []struct {
		name  string
		facts Facts
		want  kept
	}{
		{"first", full, kept{"S1", "Maker", "M1", 5 << 30}},
		{"neither", Facts{KeepDisk: true, KeepBIOS: true}, kept{"S1", "Maker", "M1", 5 << 30}},
		{"disk", Facts{Computer: Computer{Disk: 1}, KeepBIOS: true}, kept{"S1", "Maker", "M1", 1}},
		{"BIOS", Facts{Computer: Computer{Serial: "S2"}, KeepDisk: true}, kept{"S2", "Maker", "M1", 1}},
		{"both, empty", Facts{}, kept{"S2", "Maker", "M1", 0}},
	} {
		c.facts.Device = a
		_, err := f.SaveInventory(f.ctx(), c.facts, "", now)
		f.check(err)
		view, err := f.Computer(f.ctx(), a)
		f.check(err)
		f.want(c.name, kept{view.Serial, view.Manufacturer, view.Model, view.Disk}, c.want)
	}
}

func TestSaveAddresses(t *testing.T) {
	f := newFixture(t)
	a := device("a")
	_, err := f.SaveInventory(f.ctx(), Facts{Computer: Computer{Device: a},
		Addresses: []Address{{"10.0.0.1", "m1"}, {"fe80::1", "m1"}, {"10.0.0.2", "m2"}}}, "", now)
	f.check(err)
	f.check(f.SaveAddresses(f.ctx(), Stock(a), []Address{{"10.9.0.1", "m1"}, {"10.9.0.3", "m3"}}, now))
	view, err := f.Computer(f.ctx(), a)
	f.check(err)
	f.want("addresses", view.Addresses, []Address{{"10.9.0.1", "m1"}, {"10.0.0.2", "m2"}, {"10.9.0.3", "m3"}})
	wantIs(t, f.SaveAddresses(f.ctx(), Stock(device("gone")), nil, now), ErrUnknownComputer)
}

// TestTooManyComputers: anybody can pretend to be a new stock agent.
func TestTooManyComputers(t *testing.T) {
	f := newFixture(t)
	f.mostComputers = 2
	f.computer("a")
	b := f.computer("b")
	_, err := f.SaveInventory(f.ctx(), Facts{Computer: Computer{Device: device("c")}}, "", now)
	wantIs(t, err, ErrTooMany)
	f.computer("a") // known ones go on
	f.check(f.DeleteComputer(f.ctx(), b, now))
	f.computer("c")
}

func TestTouch(t *testing.T) {
	f := newFixture(t)
	a := f.computer("a")
	id := f.affected(a)
	f.contact(a)
	for i := range 3 {
		f.check(
			f.Touch(
				f.ctx(),
				[]Touch{
					{
						Device: a,
						Agent:  "agent/2",
						At:     now.Add(time.Duration(2-i) * time.Hour),
						Offers: []core.PackageID{id},
					},
					{Device: device("gone"), At: now},
				},
			),
		)
	}
	view, err := f.Computer(f.ctx(), a)
	f.check(err)
	f.want("contact, agent, offers", []any{view.LastContact, view.Agent, view.Affectations[0].Offered},
		[]any{now.Add(2 * time.Hour), "agent/2", 3})
	for after, want := range map[time.Duration]int{time.Hour: 0, 25 * time.Hour: 1} {
		rollout, err := f.Rollout(f.ctx(), id, now.Add(after))
		f.check(err)
		f.want(fmt.Sprint("without result after ", after), rollout.NoResult, want)
	}
}

// TestSearchIsMatch: the store finds exactly the computers that the evaluator accepts.
func TestSearchIsMatch(t *testing.T) {
	f := newFixture(t)
	id := f.pkg(5)
	f.activate(id, "")
	models := map[core.DeviceID]query.Computer{}
	oses := map[string]core.OS{"Windows 11 Pro": core.Windows, "Debian GNU/Linux 12": core.Linux, "": ""}
	n := 0
	for os, family := range oses {
		for i := range 12 {
			name := fmt.Sprint("PC", n)
			n++
			m := query.Computer{
				Name:        name,
				OS:          os,
				Family:      family,
				User:        []string{"", "Müller", "ana"}[i%3],
				MemoryBytes: int64(i) << 30,
				DiskBytes:   int64(n) << 30,
				LastContact: now.Add(-time.Duration(i*5) * 24 * time.Hour),
				Inventory:   now.Add(-time.Duration(i*5) * 24 * time.Hour),
			}
			facts := Facts{
				Computer: Computer{Device: device(name), Name: m.Name, OS: os, Family: family, User: m.User,
					Memory: m.MemoryBytes, Disk: m.DiskBytes},
				Programs:  []Program{},
				Addresses: []Address{},
			}
			for p := range i % 4 {
				facts.Programs = append(facts.Programs,
					Program{Name: fmt.Sprint("Firefox ", p), Version: fmt.Sprint(130 + i)})
				m.Software = append(m.Software,
					query.SoftwareItem{Name: fmt.Sprint("Firefox ", p), Version: fmt.Sprint(130 + i)})
			}
			if i%2 == 0 {
				facts.Addresses = append(facts.Addresses,
					Address{IP: fmt.Sprint("10.1.0.", i), MAC: fmt.Sprintf("00:11:22:33:44:%02x", i)})
				m.IPs, m.MACs = []netip.Addr{
					netip.MustParseAddr(fmt.Sprint("10.1.0.", i)),
				}, []string{
					fmt.Sprintf("00:11:22:33:44:%02x", i),
				}
			}
			_, err := f.SaveInventory(f.ctx(), facts, "", m.Inventory)
			f.check(err)
			if family == core.Linux && i%3 == 0 {
				f.affect(id, Selection{Devices: []core.DeviceID{device(name)}}, AffectOptions{})
				m.States = map[core.PackageID]string{id: string(outcome.Waiting)}
			}
			models[device(name)] = m
		}
	}
	terms := []string{
		`os = windows`,
		`os ~ debian`,
		`os = ""`,
		`user = müller`,
		`user != ""`,
		`memory >= 4GiB`,
		`disk < 10GiB`,
		`name in (pc1, pc2, pc30)`,
		`software("firefox")`,
		`software("firefox 1", >= 135)`,
		`ip in 10.1.0.0/30`,
		`ip != 10.1.0.2`,
		`mac ~ 44:0a`,
		`last_contact > 20d`,
		`inventory = never`,
		`site = ""`,
		fmt.Sprintf(`state("%d") = WAITING_NOTIFICATION`, id),
		fmt.Sprintf(`state("%d") in (NONE, SUCCESS)`, id),
	}
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.SampledFrom(terms).Draw(r, "first")
		for range rapid.IntRange(0, 3).Draw(r, "more") {
			text = fmt.Sprintf(
				"%s(%s) %s %s%s",
				rapid.SampledFrom([]string{"", "not "}).Draw(r, "outer"),
				text,
				rapid.SampledFrom([]string{"and", "or"}).
					Draw(r, "join"),
				rapid.SampledFrom([]string{"", "not "}).Draw(r, "not"),
				rapid.SampledFrom(terms).Draw(r, "term"),
			)
		}
		expr := mustQuery(t, text)
		found, err := f.Search(f.ctx(), Selection{Query: expr}, now)
		if err != nil {
			r.Fatal(err)
		}
		got := map[core.DeviceID]bool{}
		for _, computer := range found {
			got[computer.Device] = true
		}
		for device, model := range models {
			if want := query.Match(expr, model, now); got[device] != want {
				r.Fatalf("%s: %s found %v, want %v", text, device, got[device], want)
			}
		}
	})
}

func TestDuplicates(t *testing.T) {
	f := newFixture(t)
	for i, serial := range []string{"ABC", "ABC", "To be filled by O.E.M.", "To be filled by O.E.M.", ""} {
		name := fmt.Sprint("pc", i/4)
		facts := Facts{Computer: Computer{Device: device(fmt.Sprint("d", i)), Name: name, Serial: serial},
			Addresses: []Address{{IP: fmt.Sprint("10.0.0.", i), MAC: fmt.Sprint("00:00:00:00:00:0", i/3)}}}
		_, err := f.SaveInventory(f.ctx(), facts, "", now.Add(time.Duration(i)*time.Second))
		f.check(err)
	}
	groups, err := f.Duplicates(f.ctx())
	f.check(err)
	devices := func(numbers ...int) (list []core.DeviceID) {
		for _, n := range numbers {
			list = append(list, device(fmt.Sprint("d", n)))
		}
		return list
	}
	want := []DuplicateGroup{
		{
			"serial",
			"ABC",
			devices(1, 0),
		}, {"mac", "00:00:00:00:00:01", devices(4, 3)}, {"name", "pc0", devices(3, 2, 1, 0)},
	}
	f.want("groups", groups, want)
	if !slices.IsSortedFunc(groups[2].Computers,
		func(a, b core.DeviceID) int { return strings.Compare(string(b), string(a)) }) {
		t.Error("the most recent contact comes first")
	}
}

// TestPlaceholders: what is nobody's own, and what is somebody's.
func TestPlaceholders(t *testing.T) {
	for _, value := range []string{"", " ", "0", "0123456789", "1234567890", "INVALID", "Chassis Serial Number", "chassis  serial number",
		"To be filled by O.E.M.", "To Be Filled By O.E.M. by More String", "Default string", "Not Settable", "1", "........", "XXXXXXXX",
		"FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "00000000-0000-0000-0000-000000000000", "03000200-0400-0500-0006-000700080009", "987654321"} {
		if !isPlaceholder(value) {
			t.Errorf("%q is taken for a computer's own", value)
		}
	}
	for _, value := range []string{"ABC", "5CG1234XYZ", "VMware-56 4d 12", "4c4c4544-0042-3510-8052-b4c04f4e3332", "12345679"} {
		if isPlaceholder(value) {
			t.Errorf("%q is taken for a placeholder", value)
		}
	}
	for mac, shared := range map[string]bool{"02:00:4c:4f:4f:50": true, "02:42:ac:11:00:02": true, "ff:ff:ff:ff:ff:ff": true,
		"00:00:00:00:00:00": true, "00:05:9a:3c:7a:00": true, "00:50:56:c0:00:08": true, "50:50:54:50:30:30": true, "": true,
		"00:15:5d:01:02:03": false, "52:54:00:12:34:56": false, "00:30:6e:01:02:03": false} {
		if isSharedMAC(mac) != shared {
			t.Errorf("%q: shared is %t", mac, !shared)
		}
	}
}

// TestDuplicatesInAnyCase: one machine, of which two agents write what it is called in two ways.
func TestDuplicatesInAnyCase(t *testing.T) {
	f := newFixture(t)
	for i, c := range []Computer{
		{Serial: "AbC 1", UUID: "4C4C4544-0042-3510-8052-B4C04F4E3332", Name: "PC-Ä"},
		{Serial: "abc1", UUID: "4c4c454400423510 8052b4c04f4e3332", Name: "pc-a\u0308"},
	} {
		c.Device = device(fmt.Sprint("d", i))
		_, err := f.SaveInventory(f.ctx(), Facts{Computer: c}, "", now)
		f.check(err)
	}
	groups, err := f.Duplicates(f.ctx())
	f.check(err)
	var by []string
	for _, group := range groups {
		by = append(by, group.By)
	}
	f.want("shared", by, []string{"serial", "uuid", "name"})
}
