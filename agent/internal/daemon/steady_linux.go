package daemon

import (
	"time"

	"golang.org/x/sys/unix"
)

// steady returns the time since the computer started, sleep included.
func steady() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic("daemon: the kernel has no CLOCK_BOOTTIME: " + err.Error()) // since Linux 2.6.39
	}
	return time.Duration(now.Nano())
}
