package e2e

import (
	"path/filepath"
	"testing"
)

// TestMemberTidiesUp: a command that removes its own folder, or what it finds there, runs once and is reported.
func TestMemberTidiesUp(t *testing.T) {
	for name, tidies := range map[string]string{
		"the folder above":     `cd "$(dirname "$0")/.." && rm -rf ./*`,
		"its files":            `find "$PKG_DIR/.." -type f -delete`,
		"all of it":            `cd / && rm -rf "${PKG_DIR%/*}"`,
		"the folder of all":    `cd / && p="${PKG_DIR%/*}" && rm -rf "${p%/*}"`,
		"temporary files":      `rm -rf "$TMPDIR"`,
		"what is above those":  `rm -rf "${TMPDIR%/*}"`,
		"its folder, and ends": `rm -rf "$PKG_DIR"; kill -9 $$`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			ran := filepath.Join(s.folder, "ran")
			id := s.deploy("--action", "LAUNCH", "--command", "run.sh", "--file", s.script("echo x >>"+ran+"\n"+tidies, 1<<10))
			text, state := "SUCCESS_0", "SUCCESS"
			if name == "its folder, and ends" {
				text, state = "ERR_EXECUTE", "ERR_EXECUTE"
				s.fails()
			} else {
				s.once()
			}
			s.once()
			s.want(id, state, text)
			s.agrees(id, text)
			if got := s.lines(ran); len(got) != 1 {
				t.Errorf("the command ran %d times", len(got))
			}
		})
	}
}
