//go:build !linux

package vault

import "testing"

func smallDisk(t *testing.T) string {
	t.Helper()
	t.Skip("no small file system can be made here")
	return ""
}
