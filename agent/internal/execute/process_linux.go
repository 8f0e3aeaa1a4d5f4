package execute

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A procStat is what /proc/PID/stat says, as far as we ask.
type procStat struct {
	state  byte
	parent int
	start  string // clock ticks since the boot
}

// isDead reports whether a process has ended and only waits to be noticed.
func (s procStat) isDead() bool { return s.state == 'Z' || s.state == 'X' }

// readStat reads a process's state. The program's name stands in parentheses and may itself hold any
// character, so the fields are counted from the last one.
func readStat(pid int) (procStat, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return procStat{}, err
	}
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 || len(fields[0]) != 1 {
		return procStat{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	parent, err := strconv.Atoi(fields[1])
	return procStat{state: fields[0][0], parent: parent, start: fields[19]}, err
}

func startTime(pid int) (string, error) {
	stat, err := readStat(pid)
	if err == nil && stat.isDead() {
		err = os.ErrProcessDone
	}
	return stat.start, err
}

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
}

// sinceBoot returns the time since the computer started, sleep included. Nobody sets it.
func sinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic("execute: the kernel has no such clock: " + err.Error()) // it has since Linux 2.6.39
	}
	return time.Duration(now.Nano())
}
