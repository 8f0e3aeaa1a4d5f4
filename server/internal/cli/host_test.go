package cli

import "testing"

// TestHostOf: activations are compared with hosts in the spelling of hosts.
func TestHostOf(t *testing.T) {
	for address, want := range map[string]string{
		"a.example/download": "a.example", "A.example:8443/x/y": "a.example", "https://a.example:1/x": "a.example",
		"[2001:db8::1]:443/x": "2001:db8::1", "[2001:db8::1]/x": "2001:db8::1", "192.0.2.1": "192.0.2.1", "": "",
	} {
		if got := hostOf(address); got != want {
			t.Errorf("hostOf(%q) = %q, want %q", address, got, want)
		}
	}
}
