//go:build !linux

package origin

import (
	"syscall"
	"time"
)

// limitUnsent does nothing here.
func limitUnsent(syscall.Conn, time.Duration, int) bool { return false }
