//go:build unix

package catalog

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
)

// TestPipeIsNoFile: opening a pipe waits for whoever writes into it, maybe for ever.
func TestPipeIsNoFile(t *testing.T) {
	form := valid(t)
	form.File = filepath.Join(t.TempDir(), "pipe")
	check(t, syscall.Mkfifo(form.File, 0o600))
	_, err := form.read()
	var mistakes *FormError
	if !errors.As(err, &mistakes) || mistakes.Usage {
		t.Errorf("got %v", err)
	}
}
