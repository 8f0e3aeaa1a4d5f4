package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"enjambre/core"
	"enjambre/core/outcome"
)

// TestIDsOfTwoProcesses: builders that begin in the same second through two handles get different IDs, and no
// second is left out.
func TestIDsOfTwoProcesses(t *testing.T) {
	folder := t.TempDir()
	if err := Create(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	handles := []*Store{reopened(t, folder), reopened(t, folder)}
	var mu sync.Mutex
	var ids []core.PackageID
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			for range 5 {
				id, err := handles[worker%2].ReserveID(t.Context(), now)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				ids = append(ids, id)
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	slices.Sort(ids)
	for i, id := range ids {
		if want := core.PackageID(now.Unix() + int64(i)); id != want {
			t.Fatalf("ID %d: got %s, want %s", i, id, want)
		}
	}
}

// TestBusy: a change that has waited for another process's until its patience ended says so, and goes through later.
func TestBusy(t *testing.T) {
	folder := t.TempDir()
	if err := Create(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	holder, waiter := reopened(t, folder), reopened(t, folder)
	if _, err := waiter.write.ExecContext(t.Context(), "PRAGMA busy_timeout = 1"); err != nil {
		t.Fatal(err)
	}
	err := holder.change(t.Context(), func(*transaction) error {
		if _, err := waiter.ReserveID(t.Context(), now); !errors.Is(err, ErrBusy) {
			t.Errorf("while another changes: got %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := waiter.ReserveID(t.Context(), now); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// killedTeller is the variable that makes a test of this binary the process that is killed while it tells
// computers of packages.
const killedTeller = "ENJAMBRE_TEST_KILLED_TELLER"

// TestTellUntilKilled is that process; on its own it does nothing.
func TestTellUntilKilled(t *testing.T) {
	folder := os.Getenv(killedTeller)
	if folder == "" {
		return
	}
	f := fixture{t, reopened(t, folder)}
	packages, err := f.Packages(f.ctx())
	f.check(err)
	for i := 0; ; i++ {
		name := fmt.Sprint("pc", i)
		one := f.computer(name)
		f.affect(packages[0].ID, Selection{Devices: []core.DeviceID{one}}, AffectOptions{})
		fmt.Println("told affected", one)
		if listed := f.contact(one); len(listed) == 1 {
			fmt.Println("told listed", one)
		}
	}
}

// TestKilledWhileTelling: a package that a PROLOG reply listed is NOTIFIED after a kill, and listed again; an
// affectation that was acknowledged is there.
func TestKilledWhileTelling(t *testing.T) {
	folder := t.TempDir()
	if err := Create(context.Background(), folder); err != nil {
		t.Fatal(err)
	}
	f := fixture{t, reopened(t, folder)}
	f.set("", "STOCK_AGENTS", 1)
	id := f.pkg(5)
	f.activate(id, "")
	teller := exec.Command(os.Args[0], "-test.run=^TestTellUntilKilled$")
	teller.Env = append(os.Environ(), killedTeller+"="+folder)
	stdout, err := teller.StdoutPipe()
	f.check(err)
	f.check(teller.Start())
	states := map[core.DeviceID]outcome.State{}
	lines := 0
	for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
		words := strings.Fields(scanner.Text())
		if len(words) != 3 || words[0] != "told" {
			continue
		}
		state := outcome.Waiting
		if words[1] == "listed" {
			state = outcome.Notified
		}
		states[core.DeviceID(words[2])] = state
		if lines++; lines == 41 { // between two lines, wherever it is by then
			f.check(teller.Process.Kill())
		}
	}
	_ = teller.Wait() // killed, as meant
	if lines < 41 {
		t.Fatalf("the teller ended by itself after %d lines", lines)
	}
	f.check(f.Check(f.ctx()))
	for one, acknowledged := range states {
		got := f.record(one, id).State
		if got != acknowledged && !(acknowledged == outcome.Waiting && got == outcome.Notified) {
			t.Errorf("%s: got %s, acknowledged %s", one, got, acknowledged)
		}
		f.want("listed after the kill", f.contact(one), []core.PackageID{id})
	}
}
