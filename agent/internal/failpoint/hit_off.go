//go:build !failpoint

package failpoint

// Hit does nothing in this program: it was built without the tag "failpoint".
func Hit(string) {}
