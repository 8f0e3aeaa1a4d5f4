package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// ErrRunning says that another agent runs with this folder.
var ErrRunning = errors.New("an enjambre-agent runs with this state folder already")

// Lock makes the caller the one agent that runs with this folder, until unlock is called or the process ends.
func (f *Folder) Lock() (unlock func(), err error) {
	lock := flock.New(f.file("lock"), flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o600))
	taken, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if !taken {
		return nil, fmt.Errorf("%s: %w%s", f.path, ErrRunning, f.holder())
	}
	// It only helps people, and a full disk must not keep the agent from starting.
	_ = f.write("pid", []byte(strconv.Itoa(os.Getpid())+"\n"))
	return func() { _ = lock.Unlock() }, nil
}

// Running reports whether an agent runs with this folder. It makes nothing.
func (f *Folder) Running() (bool, error) {
	if _, err := os.Stat(f.file("lock")); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	lock := flock.New(f.file("lock"), flock.SetFlag(os.O_RDWR))
	taken, err := lock.TryRLock()
	if err != nil {
		return false, fmt.Errorf("state folder: %w", err)
	}
	if !taken {
		return true, nil
	}
	return false, lock.Unlock()
}

// holder says which process runs, if it is known.
func (f *Folder) holder() string {
	data, err := f.read("pid")
	process, parseErr := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || parseErr != nil {
		return ""
	}
	return fmt.Sprintf(", as process %d", process)
}
