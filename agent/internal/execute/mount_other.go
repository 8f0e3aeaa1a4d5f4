//go:build !linux

package execute

// mountedBelow finds nothing: only Linux is asked.
func mountedBelow(string) (string, error) { return "", nil }
