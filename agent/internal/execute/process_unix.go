//go:build unix && !linux

package execute

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// startTime asks ps, which every Unix has. It knows seconds only.
func startTime(pid int) (string, error) {
	cmd := exec.Command("/bin/ps", "-o", "lstart=", "-o", "state=", "-p", strconv.Itoa(pid))
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC"}
	output, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ps: %w", err)
	}
	fields := strings.Fields(string(output))
	if len(fields) < 2 || strings.HasPrefix(fields[len(fields)-1], "Z") {
		return "", os.ErrProcessDone
	}
	return strings.Join(fields[:len(fields)-1], " "), nil
}

// bootID is empty: ps tells absolute times.
func bootID() (string, error) { return "", nil }

// sinceBoot is the wall clock, for want of another that all processes share.
func sinceBoot() time.Duration { return time.Duration(time.Now().UnixNano()) }
