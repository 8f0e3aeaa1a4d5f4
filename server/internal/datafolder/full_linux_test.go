package datafolder

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestNoRoom: an init that finds no room, at whatever step, leaves nothing, not even the folder.
func TestNoRoom(t *testing.T) {
	for _, inodes := range []string{"2", "3", "4", "6", "9"} { // the first is the disk's own
		t.Run(inodes, func(t *testing.T) {
			disk := t.TempDir()
			if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "nr_inodes="+inodes); err != nil {
				t.Skipf("a small disk cannot be mounted: %v", err)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(disk, 0); err != nil {
					t.Error(err)
				}
			})
			err := Create(t.Context(), filepath.Join(disk, "data"), options(), false)
			if err == nil {
				t.Fatal("it was made without room")
			}
			if entries, err := os.ReadDir(disk); err != nil || len(entries) != 0 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}
