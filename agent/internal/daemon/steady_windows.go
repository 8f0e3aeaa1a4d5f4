package daemon

import (
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

var unbiased = windows.NewLazySystemDLL("kernel32.dll").NewProc("QueryUnbiasedInterruptTime") // since Windows 7

// steady returns the time since the computer started, sleep included.
func steady() time.Duration { return windows.DurationSinceBoot() }

// slept returns how much of it the computer has slept.
func slept() time.Duration {
	var awake uint64 // in 100 ns
	if ok, _, _ := unbiased.Call(uintptr(unsafe.Pointer(&awake))); ok == 0 {
		return 0 // the call fails for a nil pointer alone
	}
	return max(steady()-time.Duration(awake)*100, 0)
}
