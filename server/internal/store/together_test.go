package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"enjambre/core"
	"enjambre/core/ocs"
)

// gathered lets changes wait until all of them do, and returns their outcomes.
func (f fixture) gathered(contexts []context.Context, changes ...func(context.Context, *transaction) error) []error {
	f.Helper()
	f.gathering.turn <- struct{}{}
	outcomes := make([]error, len(changes))
	var ended sync.WaitGroup
	for i, do := range changes {
		ended.Go(func() { outcomes[i] = f.together(contexts[i], do) })
	}
	for waiting := 0; waiting < len(changes); {
		f.gathering.mu.Lock()
		waiting = len(f.gathering.waiting)
		f.gathering.mu.Unlock()
	}
	<-f.gathering.turn
	ended.Wait()
	return outcomes
}

// mark is a change that leaves a mark.
func mark(name string) func(context.Context, *transaction) error {
	return func(ctx context.Context, tx *transaction) error {
		_, err := execute(ctx, tx, "INSERT INTO settings (name, value) VALUES (?, 1)", name)
		return err
	}
}

func (f fixture) marks() (count int) {
	f.Helper()
	f.check(f.read.QueryRow("SELECT count(*) FROM settings WHERE name LIKE 'mark%'").Scan(&count))
	return count
}

// TestTogether: changes that wait at the same time share one transaction; one that fails leaves nothing, and takes none
// of the others with it.
func TestTogether(t *testing.T) {
	f := newFixture(t)
	mine := errors.New("mine")
	var contexts []context.Context
	var changes []func(context.Context, *transaction) error
	used := map[*transaction]bool{}
	for i := range maxTogether {
		contexts = append(contexts, t.Context())
		changes = append(changes, func(ctx context.Context, tx *transaction) error {
			used[tx] = true // one after the other
			if err := mark(fmt.Sprint("mark", i))(ctx, tx); err != nil || i%4 != 3 {
				return err
			}
			return mine
		})
	}
	for i, err := range f.gathered(contexts, changes...) {
		if want := i%4 == 3; errors.Is(err, mine) != want || !want && err != nil {
			t.Errorf("change %d: got %v", i, err)
		}
	}
	f.want("transactions", len(used), 1)
	f.want("marks", f.marks(), maxTogether*3/4)
}

// TestTogetherTransactionEnds: a change by which the transaction of all ends is told so, and the others are made.
func TestTogetherTransactionEnds(t *testing.T) {
	f := newFixture(t)
	outcomes := f.gathered([]context.Context{t.Context(), t.Context(), t.Context()}, mark("mark1"),
		func(ctx context.Context, tx *transaction) error {
			if err := mark("mark2")(ctx, tx); err != nil {
				return err
			}
			_, err := execute(ctx, tx, "INSERT OR ROLLBACK INTO settings (name, value) VALUES ('mark2', 1)") // as on a full disk
			return err
		}, mark("mark3"))
	if outcomes[0] != nil || outcomes[1] == nil || outcomes[2] != nil {
		t.Errorf("got %v", outcomes)
	}
	f.want("marks", f.marks(), 2)
	f.check(f.together(t.Context(), mark("mark4")))
}

// TestTogetherWithdrawn: who gives up waiting has changed nothing, and nobody else is kept from it.
func TestTogetherWithdrawn(t *testing.T) {
	f := newFixture(t)
	gone, cancel := context.WithCancel(t.Context())
	f.gathering.turn <- struct{}{}
	ended := make(chan error)
	go func() { ended <- f.together(gone, mark("mark1")) }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-f.gathering.turn
	f.check(f.together(t.Context(), mark("mark2")))
	f.want("marks", f.marks(), 1)
}

// TestUnchangedIsNotWritten: an inventory that says what the last one said writes the computer's row and no more; one
// that differs in one program writes that.
func TestUnchangedIsNotWritten(t *testing.T) {
	f := newFixture(t)
	facts := Facts{Computer: Computer{Device: device("a"), Name: "a"}, Reported: true, Addresses: []Address{{"10.0.0.1", "00:00:00:00:00:02"}}}
	for i := range 200 {
		facts.Programs = append(facts.Programs, Program{fmt.Sprint("program", i), "1"})
	}
	save := func() (rows int) {
		t.Helper()
		count := func() (changes int) {
			f.check(f.write.QueryRow("SELECT total_changes()").Scan(&changes))
			return changes
		}
		before := count()
		_, err := f.SaveInventory(f.ctx(), facts, "", now)
		f.check(err)
		return count() - before
	}
	save()
	f.want("rows written again", save(), 1)
	facts.Programs[7].Version = "2"
	f.want("rows written for another version", save(), 4) // the computer, the program, its link, the old link
	view, err := f.Computer(f.ctx(), device("a"))
	f.check(err)
	f.want("programs", len(view.Programs), 200)
	f.want("new version", view.Programs[len(view.Programs)-1] == Program{"program99", "1"}, true)
}

// TestSavedTogether: inventories, results and contacts that come at once are all there.
func TestSavedTogether(t *testing.T) {
	f := newFixture(t)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			name := device(fmt.Sprint("pc", i))
			_, err := f.SaveInventory(f.ctx(), Facts{Computer: Computer{Device: name, Name: string(name)}}, "", now)
			err = errors.Join(err, f.SaveResult(f.ctx(), Stock(name), ocs.Result{Package: core.PackageID(1_700_000_000), Text: "SUCCESS"}, now))
			if err != nil {
				t.Error(err)
			}
			if err := f.SaveResult(f.ctx(), Stock("nobody-2026-01-01-00-00-00"), ocs.Result{Text: "x"}, now); !errors.Is(err, ErrUnknownComputer) {
				t.Errorf("an unknown computer's result: %v", err)
			}
		})
	}
	all.Wait()
	for i := range 100 {
		view, err := f.Computer(f.ctx(), device(fmt.Sprint("pc", i)))
		f.check(err)
		f.want("results", len(view.Results), 1)
	}
}
