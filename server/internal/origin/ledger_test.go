package origin

import (
	"os"
	"path/filepath"
	"testing"
)

// tear leaves half an entry at the end of lyon's ledger.
func tear(t *testing.T, l *lab) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(l.folder, "lyon.ledger"), os.O_WRONLY|os.O_APPEND, 0)
	check(t, err)
	_, err = file.Write(make([]byte, 50))
	check(t, err)
	check(t, file.Close())
}
