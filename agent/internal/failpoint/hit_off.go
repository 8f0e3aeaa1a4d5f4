//go:build !failpoint

package failpoint

import "time"

// Hit does nothing in this program: it was built without the tag "failpoint".
func Hit(string) {}

// Now is the computer's clock in this program: it was built without the tag "failpoint".
func Now() time.Time { return time.Now() }
