package enrol

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 24, 8, 0, 0, 0, time.Local)

func TestChooseDevice(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ = strings.Cut(host, ".")
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	device, err := chooseDevice("", key, now)
	if want := host + "-139e-2026-11-24-08-00-00"; err != nil || string(device) != want {
		t.Errorf("got %q, %v, want %q", device, err, want)
	}
	stock := t.TempDir()
	write := func(server, content string, used time.Time) {
		t.Helper()
		folder := filepath.Join(stock, server)
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(folder, "ocsinv.conf")
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, used, used); err != nil {
			t.Fatal(err)
		}
	}
	write("http:__old", "<CONF><DEVICEID>old-2020-01-01-00-00-00</DEVICEID></CONF>", now.AddDate(-1, 0, 0))
	write("http:__broken", "<CONF><DEVICEID>nonsense", now.AddDate(0, 1, 0))
	write("https:__new", "<CONF>\n  <DEVICEID>pc7-2024-02-03-04-05-06</DEVICEID>\n</CONF>", now)
	if device, err := chooseDevice(stock, key, now); err != nil || device != "pc7-2024-02-03-04-05-06" {
		t.Errorf("got %q, %v; want the one that was used last and can be read", device, err)
	}
}
