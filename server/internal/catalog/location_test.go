package catalog

import (
	"testing"

	"enjambre/core"
)

func TestParseLocation(t *testing.T) {
	good := map[string]Location{
		"deploy.example.net/download":         "deploy.example.net/download",
		"Deploy.Example.NET:8443/Download/":   "deploy.example.net:8443/Download",
		"https://deploy.example.net/download": "deploy.example.net/download",
		"192.168.1.1:4343/download":           "192.168.1.1:4343/download",
		"[2001:db8::1]:4343/download":         "[2001:db8::1]:4343/download",
		"deploy":                              "deploy",
		"deploy/":                             "deploy",
		"a/b/../c":                            "a/c",
	}
	for text, want := range good {
		if got, err := ParseLocation(text, "https"); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", "/download", "http://a/d", "ftp://a/d", "file:///etc", "gopher://a", "user:pw@a/d", "a/d?x=1", "a/d#x",
		"a:0/d", "a:/d", "a:65536/d", "a:x/d", "a b/d", "a/d\n", "[::1/d", "::1/d", "https://", "a/\u202ed"} {
		if got, err := ParseLocation(text, "https"); core.ClassOf(err) != core.ClassField {
			t.Errorf("%q: got %q, %v, want E_FIELD", text, got, err)
		}
	}
	if got := Location("[2001:db8::1]:4343/download").URL("http", 7, "7-1"); got != "http://[2001:db8::1]:4343/download/7/7-1" {
		t.Errorf("got %s", got)
	}
}

func TestCheckHost(t *testing.T) {
	own := []string{"127.0.0.1", "deploy.example.net"}
	for place, allowed := range map[Location]bool{
		"deploy.example.net/d": true, "127.0.0.1:8443/d": true, "10.1.2.3/d": true, "192.168.1.1:4343/d": true, "[2001:db8::1]/d": true,
		"localhost/d": false, "LOCALHOST/d": false, "x.localhost/d": false, "127.0.0.2/d": false, "[::1]/d": false, "[::ffff:127.0.0.2]/d": false,
		"0.0.0.0/d": false, "169.254.169.254/d": false, "[fe80::1]/d": false, "[fd00:ec2::254]/d": false, "224.0.0.1/d": false,
	} {
		if err := place.checkHost(own); (err == nil) != allowed {
			t.Errorf("%s: got %v, want allowed %v", place, err, allowed)
		}
	}
}

func TestIsAt(t *testing.T) {
	names, ports := []string{"deploy.example.net", "2001:db8::1"}, []string{"8443", "80"}
	for place, want := range map[Location]bool{
		"deploy.example.net:8443/download":  true,
		"DEPLOY.example.net.:8443/download": true,
		"deploy.example.net/download":       true, // by HTTP
		"[2001:db8::1]:8443/download":       true,
		"deploy.example.net:9000/download":  false, // another web server on the same computer
		"deploy.example.net:8443/mirror":    false,
		"deploy.example.net:8443":           false,
		"mirror.example.net:8443/download":  false,
		"[2001:db8::2]:8443/download":       false,
	} {
		if got := place.IsAt(names, ports, "download"); got != want {
			t.Errorf("%s: got %t", place, got)
		}
	}
	if Location("deploy.example.net/download").IsAt(names, []string{"8443"}, "download") {
		t.Error("neither 80 nor 443 is this server's")
	}
}

func FuzzParseLocation(f *testing.F) {
	f.Add("deploy.example.net:8443/download")
	f.Add("[2001:db8::1]:4343/download")
	f.Fuzz(func(t *testing.T, text string) {
		place, err := ParseLocation(text, "https")
		if err != nil {
			return
		}
		if again, err := ParseLocation(string(place), "https"); err != nil || again != place {
			t.Fatalf("%q: %q, then %q, %v", text, place, again, err)
		}
	})
}
