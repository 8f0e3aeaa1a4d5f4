package store

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"enjambre/core"
)

// BenchmarkContact answers a PROLOG without news: ten packages that were listed before.
func BenchmarkContact(b *testing.B) {
	f := newFixture(b)
	a := f.computer("a")
	for range 10 {
		f.affected(a)
	}
	f.contact(a)
	for b.Loop() {
		contact, err := f.Contact(f.ctx(), Call{Caller: Stock(a), Family: core.Linux}, now)
		if err != nil || len(contact.Offers) != 10 {
			b.Fatal(len(contact.Offers), err)
		}
	}
}

// BenchmarkTouch notes a thousand contacts in one bulk, as a running server does.
func BenchmarkTouch(b *testing.B) {
	f := newFixture(b)
	var touches []Touch
	for i := range 1000 {
		name := fmt.Sprint("pc", i%100)
		if i < 100 {
			f.computer(name)
		}
		touches = append(touches, Touch{Device: device(name), Agent: "agent", At: now})
	}
	for b.Loop() {
		for i := range touches {
			touches[i].At = touches[i].At.Add(time.Second)
		}
		f.check(f.Touch(f.ctx(), touches))
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "us/contact")
}

// BenchmarkTouchEnrolled is the same for enrolled agents, whose contacts are told apart.
func BenchmarkTouchEnrolled(b *testing.B) {
	f := newFixture(b)
	var touches []Touch
	for i := range 1000 {
		name := fmt.Sprint("pc", i%100)
		if i < 100 {
			f.computer(name)
		}
		touches = append(touches, Touch{Device: device(name), Agent: "agent", At: now})
	}
	contact := uint64(0)
	for b.Loop() {
		for i := range touches {
			contact++
			prolog := &touches[i].Prolog
			prolog.Last = touches[(i+900)%1000].Prolog.Contact
			binary.BigEndian.PutUint64(prolog.Contact[:], contact)
		}
		f.check(f.Touch(f.ctx(), touches))
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "us/contact")
}

// BenchmarkSaveInventory keeps an inventory of a thousand programs, of which one is new.
func BenchmarkSaveInventory(b *testing.B) {
	f := newFixture(b)
	facts := Facts{Computer: Computer{Device: device("pc"), Name: "pc", Family: core.Linux}}
	for i := range 1000 {
		facts.Programs = append(facts.Programs, Program{Name: fmt.Sprint("program", i), Version: "1"})
	}
	for i := 0; b.Loop(); i++ {
		facts.Programs[0].Version = fmt.Sprint(i)
		_, err := f.SaveInventory(f.ctx(), facts, "", now)
		f.check(err)
	}
}

// BenchmarkSearch finds the computers with an old browser among 10,000 with 50 programs each.
func BenchmarkSearch(b *testing.B) {
	f := newFixture(b)
	for i := range 10_000 {
		name := fmt.Sprint("pc", i)
		facts := Facts{Computer: Computer{Device: device(name), Name: name, OS: "Debian", Family: core.Linux}}
		for p := range 50 {
			facts.Programs = append(facts.Programs, Program{Name: fmt.Sprint("program", p), Version: fmt.Sprint(i % 20)})
		}
		_, err := f.SaveInventory(f.ctx(), facts, "", now)
		f.check(err)
	}
	query := mustQuery(b, `os = linux and software("program7", < 10)`)
	for b.Loop() {
		found, err := f.Search(f.ctx(), Selection{Query: query}, now)
		if err != nil || len(found) != 5000 {
			b.Fatal(len(found), err)
		}
	}
}

// BenchmarkAgentsAt finds the hundred agents of one of a hundred sites.
func BenchmarkAgentsAt(b *testing.B) {
	f := newFixture(b)
	f.check(f.change(f.ctx(), func(tx *transaction) error {
		for i := range 10_000 {
			id, err := f.findOrAdd(f.ctx(), tx, device(fmt.Sprint("pc", i)), "", now)
			if err == nil {
				_, err = execute(f.ctx(), tx, "UPDATE computers SET agent_key = ?, judged_site = ? WHERE id = ?",
					core.DigestOf([]byte{byte(i), byte(i >> 8)}).String(), fmt.Sprint("site-", i%100), id)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}))
	for b.Loop() {
		if keys, err := f.AgentsAt(f.ctx(), "site-7"); err != nil || len(keys) != 100 {
			b.Fatal(len(keys), err)
		}
	}
}
