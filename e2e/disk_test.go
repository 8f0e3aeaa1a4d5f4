package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/e2e/stage"
)

// smallDisk makes a server's data folder on a file system of its own.
func smallDisk(t *testing.T, size string) *stage.Server {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("needs root on Linux, to mount a small file system")
	}
	folder := t.TempDir()
	if err := syscall.Mount("enjambre-test", folder, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("cannot mount a tmpfs here: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	})
	server, err := stage.NewServer(t.Context(), binary, folder)
	if err != nil {
		t.Fatal(err)
	}
	server.Daemon = daemon
	return server
}

// TestFullDisk: a build on a full disk fails, says so, and leaves nothing.
func TestFullDisk(t *testing.T) {
	server := smallDisk(t, "6m")
	l := &lab{base: base{T: t, server: server}}
	output := refused(t, 1, "package", "build", "--data", server.Data, "--name", "x", "--os", "linux", "--action", "STORE",
		"--path", "/x", "--priority", "1", "--file", l.archive(nil, 8<<20))
	wantText(t, output, "no space left on device", "cut fragment")
	entries, err := os.ReadDir(filepath.Join(server.Data, "packages"))
	if err != nil || len(entries) != 0 {
		t.Errorf("residue: %v, %v", entries, err)
	}
	l.build("--action", "EXECUTE", "--command", "true")
}

// TestFullDiskAnswers: on a full disk a message is refused or kept, never acknowledged and lost; with room
// again the server goes on by itself.
func TestFullDiskAnswers(t *testing.T) {
	server := started(t, smallDisk(t, "16m"))
	agent := client(t, server)
	filler := filepath.Join(filepath.Dir(server.Data), "filler")
	file, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = file.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	send := func(i int) int {
		inventory := inventoryOf(fmt.Sprint("pc", i))
		for p := range 500 {
			inventory.Sections = append(inventory.Sections, ocs.Section{Name: "SOFTWARES", Fields: []ocs.Field{
				{Name: "NAME", Value: fmt.Sprint("program ", i, " ", p)}, {Name: "VERSION", Value: "1.0"}}})
		}
		status, _ := post(t, agent, server.Address, inventory.Append(nil, core.DeviceID(fmt.Sprintf("pc%d-2026-01-01-00-00-00", i))))
		return status
	}
	kept, refusedOnce := map[int]bool{}, false
	for i := range 20 {
		switch status := send(i); status {
		case http.StatusOK:
			kept[i] = true
		case http.StatusInternalServerError:
			refusedOnce = true
		default:
			t.Errorf("computer %d: got status %d", i, status)
		}
	}
	if !refusedOnce {
		t.Error("twenty inventories fit on a full disk: the test tests nothing")
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if status := send(100); status != http.StatusOK {
		t.Errorf("with room again: got %d", status)
	}
	kept[100] = true
	for i := range kept {
		var found struct{ Computers []struct{ Computer string } }
		query := fmt.Sprintf(`name = pc%d and software("program %d 499")`, i, i)
		if err := server.JSON(t.Context(), &found, "computer", "search", query); err != nil || len(found.Computers) != 1 {
			t.Errorf("computer %d was acknowledged and is not whole: %v, %v", i, found, err)
		}
	}
}
