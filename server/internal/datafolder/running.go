package datafolder

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// ErrNeverRan says that no server ever ran on the folder.
var ErrNeverRan = errors.New("no server has run on this data folder yet")

// Running says where a server listens.
type Running struct {
	PID     int       `json:"pid"`
	Listen  string    `json:"listen"`         // the address it was told
	HTTPS   string    `json:"https"`          // host:port that agents use
	HTTP    string    `json:"http,omitempty"` // "": it serves no plain HTTP
	Started time.Time `json:"started"`
}

// Lock takes the folder for a running server, which calls release when it ends. A folder that another
// server has is refused, naming its process.
func (f *Folder) Lock() (release func() error, err error) {
	lock := flock.New(filepath.Join(f.Path, "run.lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock data folder %s: %w", f.Path, err)
	}
	if locked {
		return lock.Unlock, nil
	}
	who := "another process"
	if running, err := f.Running(); err == nil {
		who = fmt.Sprintf("process %d (listening on %s)", running.PID, running.Listen)
	}
	return nil, fmt.Errorf(
		"data folder %s is in use by %s: stop that server first, or use another data folder", f.Path, who)
}

// Announce writes where the server listens, for commands that need its address.
func (f *Folder) Announce(running Running) error {
	data, err := json.Marshal(running)
	if err != nil {
		return err
	}
	path := filepath.Join(f.Path, "run.json")
	fresh := path + ".new"
	if err := os.WriteFile(fresh, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("announce the server: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("announce the server: %w", err)
	}
	return nil
}

// Running returns where the server listens, or did when it last ran; ErrNeverRan if it never did.
func (f *Folder) Running() (Running, error) {
	data, err := os.ReadFile(filepath.Join(f.Path, "run.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return Running{}, ErrNeverRan
	}
	var running Running
	if err == nil {
		err = json.Unmarshal(data, &running)
	}
	if err != nil {
		return Running{}, fmt.Errorf("read the server's address: %w", err)
	}
	return running, nil
}
