package config

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestExample: the annotated file holds every setting, each at its default.
func TestExample(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.toml")
	if err := os.WriteFile(path, []byte(Example), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got); diff != "" {
		t.Error(diff)
	}
	for _, key := range []string{
		"state", "server", "ca", "token_file", "tag", "proxy", "debug", "log_file", "log_max_mb", "log_keep", "vault_max",
		"vault_reserve", "listen", "mdns", "tunnels",
	} {
		if !strings.Contains(Example, "\n"+key+" = ") {
			t.Errorf("the example lacks %s", key)
		}
	}
}

func TestParse(t *testing.T) {
	absolute := strings.ReplaceAll(filepath.Join(t.TempDir(), "x"), `\`, `\\`)
	for name, c := range map[string]struct {
		text string
		want []string // in the error; none: it is accepted
	}{
		"nothing":          {"", nil},
		"all to enrol":     {`server="https://a"` + "\nca=\"" + absolute + "\"\ntoken_file=\"" + absolute + `"`, nil},
		"stderr":           {`log_file = ""`, nil},
		"mdns":             {"mdns = true", nil},
		"mdns, no word":    {`mdns = "yes"`, []string{"f: mdns: "}},
		"unknown":          {"debug = true\nvault = 1\n[proxies]\nx = 1", []string{`f: line 2: there is no setting "vault"`, `line 3`, `"proxies`}},
		"type":             {"\nlog_keep = \"x\"", []string{"f: log_keep: "}},
		"no TOML":          {"debug", []string{"f: line 1: "}},
		"twice":            {"debug = true\ndebug = true", []string{"f: line 2: "}},
		"every mistake":    {"state = \"here\"\nproxy = \"x:y\"\nlog_max_mb = 0\nlog_keep = 101\nvault_max = \"1XB\"\nvault_reserve = \"0KiB\"\ntag = \"a\\nb\"\nlog_file = \"x\"", []string{"f: state: ", "f: proxy: ", "f: log_max_mb: 0", "f: log_keep: 101", "f: vault_max: ", "f: vault_reserve: ", "f: tag: ", "f: log_file: "}},
		"port as a number": {"listen = 4901", nil},
		"numbers as texts": {"log_keep = \"7\"\nvault_max = \"20GB\"\nvault_reserve = 1073741824\ndebug = \"true\"", nil},
		"byte order mark":  {"\uFEFFdebug = true\r\n", nil},
		"UTF-16":           {"\xff\xfed\x00", []string{"f: it is UTF-16"}},
		"every kind":       {"listen = [1]\nmdns = 1\nvault = 1\nlog_keep = 1.5\ntag = {a = 1}\nproxy = \"x:y\"\ndebug = 1979-05-27", []string{"f: listen: write", "f: mdns: ", "f: line 3: ", "f: log_keep: ", "f: tag: ", "f: proxy: ", "f: debug: "}},
		"unit forgotten":   {"vault_max = 20", []string{"f: vault_max: ", "20 bytes"}},
		"port beyond":      {"listen = 65536", []string{"f: listen: "}},
		"a part to enrol":  {`server = "https://a"`, []string{"give all three"}},
		"a wrong server":   {`server = "http://a"` + "\nca=\"" + absolute + "\"\ntoken_file=\"" + absolute + `"`, []string{"https://deploy.example.net"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("f", c.text)
			if (err != nil) != (len(c.want) > 0) {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in\n%v", want, err)
				}
			}
		})
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1024KiB": 1 << 20, "20GB": 20e9, "1KiB": 0, "20GiB": 20 << 30, "3 TiB": 3 << 40, "512MiB": 512 << 20,
		"": 0, "20": 0, "GiB": 0, "-1GiB": 0, "1.5GiB": 0, "9000000TiB": 0, "0GiB": 0,
	} {
		if got, err := ParseSize(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
}

// TestOthersMayWrite: what decides about root's service is not for others to change.
func TestOthersMayWrite(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("access lists decide there")
	}
	path := filepath.Join(t.TempDir(), "agent.toml")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o620); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("got %v", err)
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 4711, 4711); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("got %v", err)
	}
}

// TestTooLong: a file without end is not read.
func TestTooLong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.toml")
	if err := os.WriteFile(path, []byte(strings.Repeat("#\n", maxFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("got %v", err)
	}
}
