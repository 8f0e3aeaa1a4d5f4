package plan

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/fragment"
)

// givesUp reports whether actions end a package without running it.
func givesUp(actions []Action) bool {
	return slices.ContainsFunc(actions, func(action Action) bool {
		switch action.(type) {
		case Conclude, Drop:
			return true
		}
		return false
	})
}

// TestTimeUntold: however wrong and however often the clock of a computer is set, no package is given up before the
// server has told the time, and when it has, each is judged by that time alone.
func TestTimeUntold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		isOld, isWhole := rapid.Bool().Draw(t, "old"), rapid.Bool().Draw(t, "whole")
		age := time.Hour
		if isOld {
			age = 25 * time.Hour // quick() gives up after 24
		}
		p, err := New(Options{Random: rand.New(rand.NewPCG(1, 2))}, quick(), 0)
		if err != nil {
			t.Fatal(err)
		}
		resumed := Resumed{Assignments: []Assignment{{Package: 7, NotifiedAt: start.Add(-age)}}}
		if isWhole {
			resumed.Stored = []InfoStored{{Package: 7, Priority: 1, Held: fullSet(1)}}
		}
		clock := func(label string) time.Time {
			return start.Add(time.Duration(rapid.Int64Range(-60*365*24, 60*365*24).Draw(t, label)) * time.Hour)
		}
		if got := p.Step(clock("at the start"), resumed); givesUp(got) {
			t.Fatalf("at the start: %+v", got)
		}
		for range rapid.IntRange(0, 5).Draw(t, "steps") {
			events := []Event{WakeDue{}, CallDue{}, ContactFailed{}, NewsHeard{}}
			event := rapid.SampledFrom(events).Draw(t, "event")
			if _, fails := event.(ContactFailed); fails && !p.talking {
				continue
			}
			if got := p.Step(clock("then"), event); givesUp(got) {
				t.Fatalf("before the time is told: %+v", got)
			}
		}
		got := p.Step(start, TimeTold{})
		if !isWhole {
			got = append(got, p.Step(start, InfoFailed{Package: 7, Problem: "no way"})...)
		}
		got = append(got, p.Step(start, WakeDue{})...)
		if givesUp(got) != isOld {
			t.Fatalf("%v after the notification, by the server's time: %+v", age, got)
		}
	})
}

// TestClockSet: a contact is due when the clock was set, and when the server has told the time.
func TestClockSet(t *testing.T) {
	for _, event := range []Event{CallDue{}, TimeTold{}} {
		p := newPlan(t, quick(), false)
		p.Step(start, Resumed{})
		for range 20 { // by then the pause is long
			at, _ := p.NextContact()
			if at.Before(start) {
				at = start
			}
			p.Step(at, WakeDue{})
			p.Step(at, ContactFailed{})
		}
		if got := p.Step(start.AddDate(-56, 0, 0), event); !slices.Contains(got, Action(Contact{})) {
			t.Errorf("%T: got %+v, want a contact", event, got)
		}
	}
}

// fullSet is what is held of a package that is complete.
func fullSet(size int) *fragment.Set {
	set := fragment.NewSet(size)
	for i := range core.FragmentIndex(size) {
		set.Add(i)
	}
	return set
}
