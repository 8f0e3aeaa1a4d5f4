package catalog

import "testing"

// TestOneSpelling: an IPv6 address is kept as the server's own names are spelled, so that its own are known.
func TestOneSpelling(t *testing.T) {
	for text, want := range map[string]Location{
		"[2001:DB8:0:0::1]:8443/d":        "[2001:db8::1]:8443/d",
		"[0:0:0:0:0:0:0:1]/d":             "[::1]/d",
		"https://[2001:0db8::0001]:443/d": "[2001:db8::1]:443/d",
		"[::ffff:192.0.2.1]/d":            "[::ffff:192.0.2.1]/d",
	} {
		if got, err := ParseLocation(text, "https"); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

// TestOwnNames: only the server's own names may be on the loopback.
func TestOwnNames(t *testing.T) {
	for _, c := range []struct {
		own, place string
		allowed    bool
	}{
		{"::1", "[::1]:1/d", true},
		{"::1", "[0:0::1]/d", true},
		{"::1", "127.0.0.1/d", false},
		{"127.0.0.1", "[::1]/d", false},
		{"127.0.0.1", "127.0.0.1:99/d", true},
		{"127.0.0.1", "127.0.0.2/d", false},
		{"localhost", "LocalHost:8443/d", true},
		{"localhost", "a.localhost/d", false},
		{"deploy.example", "[::ffff:127.0.0.1]/d", false},
		{"deploy.example", "[::]/d", false},
		{"deploy.example", "[::ffff:169.254.169.254]/d", false},
		{"deploy.example", "[ff02::1]/d", false},
		{"deploy.example", "172.16.0.1/d", true},
		{"deploy.example", "[fd12::1]/d", true},
	} {
		place, err := ParseLocation(c.place, "https")
		check(t, err)
		if err := place.checkHost([]string{c.own}); (err == nil) != c.allowed {
			t.Errorf("%s, own %s: got %v, want allowed %v", c.place, c.own, err, c.allowed)
		}
	}
}
