//go:build !linux && !windows

package daemon

import "time"

var began = time.Now()

// steady returns the time since the program started. Whether a computer's sleep counts is the system's choice.
func steady() time.Duration { return time.Since(began) }

// slept returns by how much the wall clock has gone ahead of steady: the computer has slept, on systems whose steady clock
// stands still then, or its clock was set, which costs no more than new connections.
func slept() time.Duration { return time.Now().Round(0).Sub(began.Round(0)) - steady() }
