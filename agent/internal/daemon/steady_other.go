//go:build !linux

package daemon

import "time"

var began = time.Now()

// steady returns the time since the program started. Whether a computer's sleep counts is the system's choice.
func steady() time.Duration { return time.Since(began) }
