package inventory

import (
	"os"
	"path/filepath"
	"testing"

	"enjambre/core"
)

func TestFingerprint(t *testing.T) {
	s := office(t)
	want := Machine{
		System:   part("system", "3d1219c7c4c5404aaa1f6d2a48adfda4"),
		Product:  part("product", "11223344-5566-7788-0102-030405060708"),
		Adapters: part("adapters", "00:1a:2b:3c:4d:5e\n00:1a:2b:3c:4d:60"), // neither the dock's nor virtual ones
	}
	if got := Fingerprint(s); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	check(t, os.WriteFile(filepath.Join(s.Root, "sys/class/net/wlp2s0/addr_assign_type"), []byte("3\n"), 0o644))
	if got := Fingerprint(s).Adapters; got != part("adapters", "00:1a:2b:3c:4d:5e") {
		t.Error("an address that was made up for the day counts")
	}
	if got := Fingerprint(fake(t, map[string]string{"etc/machine-id": "uninitialized\n"})); got != (Machine{}) {
		t.Errorf("of nothing: got %+v", got)
	}
}

// TestFingerprintOfThis: the same computer is the same, and knows its system if that has an ID.
func TestFingerprintOfThis(t *testing.T) {
	first, second := Fingerprint(System{}), Fingerprint(System{})
	if first != second || first.IsOther(second) {
		t.Errorf("got %+v, then %+v", first, second)
	}
	if id := (System{}).text("/etc/machine-id"); len(id) == 32 && first.System == (core.Digest{}) {
		t.Error("the machine ID is not known")
	}
}
