package daemon

import (
	"time"

	"golang.org/x/sys/unix"
)

// steady returns the time since the computer started, sleep included.
func steady() time.Duration { return read(unix.CLOCK_BOOTTIME) } // since Linux 2.6.39

// slept returns how much of it the computer has slept.
func slept() time.Duration {
	awake := read(unix.CLOCK_MONOTONIC)
	return max(steady()-awake, 0)
}

func read(clock int32) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(clock, &now); err != nil {
		panic("daemon: the kernel has no such clock: " + err.Error())
	}
	return time.Duration(now.Nano())
}
