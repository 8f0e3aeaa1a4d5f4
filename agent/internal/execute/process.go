package execute

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A process is known by more than its number, which is given out again.
type process struct {
	PID   int    `json:"pid"`
	Start string `json:"start"` // its start time, as the system tells it
	Boot  string `json:"boot"`  // since when start times count; "" where they are absolute
}

// identify returns a process that runs now.
func identify(pid int) (process, error) {
	start, err := startTime(pid)
	if err != nil {
		return process{}, err
	}
	boot, err := bootID()
	return process{PID: pid, Start: start, Boot: boot}, err
}

// ourselves returns this process.
func ourselves() (process, error) { return identify(os.Getpid()) }

// alive reports whether the process still runs: the same, not another with its number.
func (p process) alive() bool {
	now, err := identify(p.PID)
	return err == nil && now == p
}

// String returns the process as one word, for the ledger: PID, boot and start time.
func (p process) String() string { return fmt.Sprintf("%d/%s/%s", p.PID, p.Boot, p.Start) }

// parseProcess reads what String wrote.
func parseProcess(text string) (process, error) {
	fields := strings.SplitN(text, "/", 3)
	if len(fields) != 3 {
		return process{}, fmt.Errorf("%.100q names no process", text)
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil || pid <= 0 {
		return process{}, fmt.Errorf("%.100q names no process", text)
	}
	return process{PID: pid, Boot: fields[1], Start: fields[2]}, nil
}
