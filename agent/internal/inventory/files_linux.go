package inventory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/common"
	"golang.org/x/sys/unix"

	"enjambre/core"
)

// Bounds of what is read from the system.
const (
	maxFile    = 1 << 20  // of one file of /proc, /sys or /etc, in bytes
	maxFolder  = 4096     // names of one folder
	maxOutput  = 32 << 20 // of one program, in bytes; 20,000 RPM packages write 4 MiB
	maxRunning = 30 * time.Second
)

// read returns a file of the system; one that is longer than most bytes is refused.
func (s System) read(path string, most int64) ([]byte, error) {
	file, err := os.Open(s.path(path))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(data)) > most {
		err = core.Refuse(core.ClassLimit, "%s is longer than %d bytes", path, most)
	}
	return data, err
}

// text returns what a short file says, on one line, or "" when it cannot be read: half of /sys is missing on
// every computer. Device trees end their texts with a zero byte.
func (s System) text(path string) string {
	data, err := s.read(path, maxFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.TrimRight(string(data), "\x00\n"))
}

// exists reports whether the system has a file or folder.
func (s System) exists(path string) bool {
	_, err := os.Stat(s.path(path))
	return err == nil
}

// names lists a folder, sorted; at most maxFolder names, and none of a folder that cannot be read.
func (s System) names(folder string) []string {
	opened, err := os.Open(s.path(folder))
	if err != nil {
		return nil
	}
	defer opened.Close()
	names, _ := opened.Readdirnames(maxFolder) // an error leaves what was read
	slices.Sort(names)
	return names
}

// link returns the last element of where a link leads, or "".
func (s System) link(path string) string {
	target, err := os.Readlink(s.path(path))
	if err != nil {
		return ""
	}
	return filepath.Base(target)
}

// modified returns when a file was last changed, or the zero time.
func (s System) modified(path string) time.Time {
	stat, err := os.Lstat(s.path(path))
	if err != nil {
		return time.Time{}
	}
	return stat.ModTime()
}

// gopsutil returns a context that shows gopsutil this system's folders.
func (s System) gopsutil(ctx context.Context) context.Context {
	return context.WithValue(ctx, common.EnvKey, common.EnvMap{
		common.HostProcEnvKey: s.path("/proc"), common.HostSysEnvKey: s.path("/sys"),
		common.HostEtcEnvKey: s.path("/etc"), common.HostVarEnvKey: s.path("/var"),
		common.HostRunEnvKey: s.path("/run"), common.HostDevEnvKey: s.path("/dev"),
		common.HostRootEnvKey: s.path("/"),
	})
}

func machineArchitecture() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Machine[:])
}

// run runs a program of the real system: absolute name, no shell, no input, nothing of our environment, and
// an end after maxRunning or maxOutput.
func (s System) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	if s.Root != "" {
		return nil, fmt.Errorf("%s belongs to another system, and is not run", name)
	}
	ctx, cancel := context.WithTimeout(ctx, maxRunning)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = "/"
	command.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/nonexistent"}
	command.WaitDelay = 2 * time.Second
	output, complaints := bounded{most: maxOutput, stop: cancel}, bounded{most: maxNote}
	command.Stdout, command.Stderr = &output, &complaints
	err := command.Run()
	switch {
	case output.full:
		return nil, core.Refuse(core.ClassLimit, "%s wrote more than %d bytes", name, maxOutput)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("%s did not end within %v", name, maxRunning)
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(complaints.data.Bytes()))
	}
	return output.data.Bytes(), nil
}

// A bounded buffer keeps the first most bytes. When there are more, it says so and calls stop. It does not
// embed its buffer, whose ReadFrom would pass Write by.
type bounded struct {
	data bytes.Buffer
	most int
	full bool
	stop func()
}

// Write never fails, so that a program with much to say is stopped by stop, not by a broken pipe.
func (b *bounded) Write(data []byte) (int, error) {
	room := max(0, b.most-b.data.Len())
	if len(data) > room && !b.full {
		b.full = true
		if b.stop != nil {
			b.stop()
		}
	}
	b.data.Write(data[:min(room, len(data))])
	return len(data), nil
}
