package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"enjambre/core"
)

// TestFullDisk: on a full disk changes fail, reads go on, and what was acknowledged is there; once there is
// room again, changes succeed without anybody starting anew.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("a small disk cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(disk, "ballast")
	if err := Create(t.Context(), disk); err != nil {
		t.Fatal(err)
	}
	f := fixture{t, reopened(t, disk)}
	save := func(name string, programs int) error {
		facts := Facts{Computer: Computer{Device: device(name), Name: name, Family: core.Linux}}
		for p := range programs {
			facts.Programs = append(facts.Programs, Program{Name: fmt.Sprint(name, "'s program ", p), Version: "1"})
		}
		_, err := f.SaveInventory(f.ctx(), facts, "", now)
		return err
	}
	for round := range 3 { // small and large changes: those fail when they are written, these at the commit
		err := os.WriteFile(ballast, make([]byte, 24<<20), 0o600)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("the disk does not fill up: %v", err)
		}
		full, err := os.Stat(ballast)
		f.check(err)
		f.check(os.Truncate(ballast, full.Size()-300<<10))
		kept, programs := 0, []int{10, 300, 2000}[round]
		for ; err == nil && kept < 1000; kept++ {
			err = save(fmt.Sprint("pc", round, "-", kept), programs)
		}
		if err == nil {
			t.Fatalf("%d computers found room", kept)
		}
		t.Logf("round %d: %d computers, then %v", round, kept-1, err)
		for i := range kept {
			view, err := f.Computer(f.ctx(), device(fmt.Sprint("pc", round, "-", i)))
			if whole := err == nil && len(view.Programs) == programs; whole != (i < kept-1) {
				t.Errorf("round %d, computer %d of %d: %d programs, %v", round, i, kept, len(view.Programs), err)
			}
		}
		f.check(os.Remove(ballast))
		for i := range kept - 1 {
			f.check(f.DeleteComputer(f.ctx(), device(fmt.Sprint("pc", round, "-", i)), now))
		}
		f.check(save("afterwards", 10))
		_, err = f.Tidy(f.ctx(), 0, now)
		f.check(err)
		f.check(f.Check(f.ctx()))
	}
}
