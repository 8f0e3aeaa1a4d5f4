package member

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"enjambre/peer/owner"
)

// TestClass: what a computer's network and its battery say.
func TestClass(t *testing.T) {
	const battery, mouse = "class/power_supply/BAT0/type=Battery", "class/power_supply/hid-1/type=Battery"
	for name, c := range map[string]struct {
		files []string // path=content
		want  owner.Weight
	}{
		"desktop":        {[]string{"class/net/x/type=1"}, owner.AlwaysOn},
		"server's own":   {[]string{"class/net/x/type=772"}, owner.AlwaysOn},
		"mouse":          {[]string{"class/net/x/type=1", mouse, "class/power_supply/hid-1/scope=Device"}, owner.AlwaysOn},
		"mains":          {[]string{"class/net/x/type=1", "class/power_supply/AC/type=Mains"}, owner.AlwaysOn},
		"docked laptop":  {[]string{"class/net/x/type=1", battery}, owner.Medium},
		"laptop, Wi-Fi":  {[]string{"class/net/x/type=1", "class/net/x/wireless/x=", battery}, owner.Light},
		"desktop, Wi-Fi": {[]string{"class/net/x/type=1", "class/net/x/uevent=DEVTYPE=wlan\nIFINDEX=3"}, owner.Medium},
		"tun":            {[]string{"class/net/x/type=65534", "class/net/x/tun_flags=0x1001"}, owner.Never},
		"tap":            {[]string{"class/net/x/type=1", "class/net/x/tun_flags=0x1002"}, owner.Never},
		"wireguard":      {[]string{"class/net/x/type=65534", "class/net/x/uevent=DEVTYPE=wireguard", battery}, owner.Never},
		"vti":            {[]string{"class/net/x/type=768"}, owner.Never},
		"ip6tnl, vti6":   {[]string{"class/net/x/type=769"}, owner.Never},
		"sit":            {[]string{"class/net/x/type=776"}, owner.Never},
		"gre":            {[]string{"class/net/x/type=778"}, owner.Never},
		"ip6gre":         {[]string{"class/net/x/type=823"}, owner.Never},
		"modem":          {[]string{"class/net/x/type=1", "class/net/x/uevent=DEVTYPE=wwan"}, owner.Never},
		"dialled":        {[]string{"class/net/x/type=512"}, owner.Never},
	} {
		sys := t.TempDir()
		for _, file := range c.files {
			path, content, _ := strings.Cut(file, "=")
			path = filepath.Join(sys, path)
			err := os.MkdirAll(filepath.Dir(path), 0o700)
			if err == nil {
				err = os.WriteFile(path, []byte(content+"\n"), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := classIn(sys, "x"); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
	if network := networkOf(loopback); network.String() != "127.0.0.0/8" {
		t.Error("the loopback interface is not found by its address")
	}
}
