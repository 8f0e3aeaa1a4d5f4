package query

import (
	"net/netip"
	"testing"
	"time"

	"enjambre/core"
)

var now = time.Date(2026, time.November, 15, 12, 0, 0, 0, time.UTC)

// desk is a computer about which everything is known.
var desk = Computer{
	Name: "Front-Desk", OS: "Debian GNU/Linux 12", Family: core.Linux, Site: "lyon", Tag: "Empfang",
	User: "MÜLLER", Serial: "5CG1234XYZ", Agent: "Enjambre 1.4.0",
	MemoryBytes: 7_950 << 20, DiskBytes: 20 << 30,
	IPs: []netip.Addr{
		netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("::ffff:192.168.1.9"),
		netip.MustParseAddr("fe80::1%eth0"),
	},
	MACs:        []string{"00:1a:2b:3c:4d:5e", "02:00:00:00:00:01"},
	LastContact: now.Add(-30 * 24 * time.Hour), // 2026-10-16 12:00
	Inventory:   time.Date(2026, time.November, 1, 0, 30, 0, 0, time.FixedZone("CET", 3600)),
	Software: []SoftwareItem{
		{"Mozilla Firefox ESR", "128.5.0"}, {"Mozilla Firefox", "140.0.1"}, {"bash", "5.2.15-2+b8"},
		{"Notes", ""},
	},
	States: map[core.PackageID]string{1760000000: "ERR_EXECUTE", 1760000001: ""},
}

// matches are queries and what is true of desk, and of a computer of which nothing is known.
var matches = []struct {
	text        string
	desk, empty bool
}{
	{`name = front-desk`, true, false},
	{`name = front`, false, false},
	{`name ~ DESK`, true, false},
	{`user = müller`, true, false},
	{`user = muller`, false, false},
	{`user != ""`, true, false},
	{`site = ""`, false, true},
	{`site in (paris, LYON)`, true, false},
	{`site not in (paris, "")`, true, false},
	{`tag ~ fang and serial ~ xyz and agent ~ 1.4`, true, false},
	{`os = linux`, true, false},
	{`os != windows`, true, true},
	{`os ~ linux`, true, false},
	{`os = "debian gnu/linux 12"`, true, false},
	{`os in (windows, "Debian GNU/Linux 12")`, true, false},
	{`memory = 8GiB`, false, false},
	{`memory >= 8GB`, true, false},
	{`memory < 8GiB`, true, true},
	{`memory in (7950MiB, 0B)`, true, true},
	{`memory != 0B`, true, false},
	{`disk <= 20GiB and disk >= 20GiB`, true, false},
	{`disk > 20GiB`, false, false},
	{`ip = 10.1.2.3`, true, false},
	{`ip != 10.1.2.3`, false, true},
	{`ip != 10.1.2.4`, true, true},
	{`ip in 10.1.0.0/16`, true, false},
	{`ip in (172.16.0.0/12, 192.168.0.0/16)`, true, false},
	{`ip in fe80::/10`, true, false},
	{`ip in ::/0`, true, false},
	{`ip in ::ffff:0:0/96 and ip in 0.0.0.0/0`, true, false},
	{`ip in 2001:db8::/32`, false, false},
	{`not ip in 10.0.0.0/8`, false, true},
	{`mac = 001A2B3C4D5E`, true, false},
	{`mac != 02:00:00:00:00:01`, false, true},
	{`mac ~ 4d-5e`, true, false},
	{`mac ~ 5e:02`, false, false},
	{`mac in (00:00:00:00:00:00, 02:00:00:00:00:01)`, true, false},
	{`last_contact > 30d`, false, true},
	{`last_contact >= 30d`, true, true},
	{`last_contact < 30d`, false, false},
	{`last_contact <= 30d`, true, false},
	{`last_contact > 36500d`, false, true},
	{`last_contact < 2026-10-16`, false, true},
	{`last_contact <= 2026-10-16`, true, true},
	{`last_contact > 2026-10-16`, false, false},
	{`last_contact >= 2026-10-16`, true, false},
	{`last_contact = 2026-10-16`, true, false},
	{`last_contact != 2026-10-16`, false, true},
	{`last_contact = never`, false, true},
	{`last_contact in (never, 2026-10-16)`, true, true},
	{`last_contact != never`, true, false},
	{`inventory = 2026-10-31`, true, false}, // 23:30 in UTC
	{`software(firefox)`, true, false},
	{`software("FIREFOX", < 140)`, true, false},
	{`software("firefox", > 140)`, true, false},
	{`software("firefox", != 140.0.1)`, true, false},
	{`not software("firefox", < 128)`, true, true},
	{`software("mozilla firefox", = 140)`, false, false},
	{`software(bash, >= 5.2.15)`, true, false},
	{`software(notes)`, true, false},
	{`software(notes, < 1) or software(notes, != 1)`, false, false},
	{`state("1760000000") = ERR_EXECUTE`, true, false},
	{`state("1760000000") != SUCCESS`, true, true},
	{`state("1760000000") in (SUCCESS, NONE)`, false, true},
	{`state("1760000001") = NONE`, true, true},
	{`state("1760000002") = NONE`, true, true},
	{`state("1760000002") != NONE`, false, false},
	{`site = lyon and site = paris or name ~ front`, true, false},
	{`site = lyon and (site = paris or name ~ front)`, true, false},
	{`not (site = lyon and name ~ back)`, true, true},
	{`not site = lyon and name ~ back`, false, false},
}

func TestMatch(t *testing.T) {
	for _, test := range matches {
		t.Run(test.text, func(t *testing.T) {
			expr, err := Parse(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := Match(expr, desk, now); got != test.desk {
				t.Errorf("desk: got %v, want %v", got, test.desk)
			}
			if got := Match(expr, Computer{}, now); got != test.empty {
				t.Errorf("empty: got %v, want %v", got, test.empty)
			}
		})
	}
}

func TestNormalMAC(t *testing.T) {
	for _, test := range []struct {
		text, want string
		whole      bool
	}{
		{"00:1A:2B:3C:4D:5E", "00:1a:2b:3c:4d:5e", true},
		{"00-1a-2b-3c-4d-5e", "00:1a:2b:3c:4d:5e", true},
		{"001a.2b3c.4d5e", "00:1a:2b:3c:4d:5e", true},
		{"001a2b3c4d5e", "00:1a:2b:3c:4d:5e", true},
		{"0x001A2B3C4D5E", "00:1a:2b:3c:4d:5e", true},
		{"0x001A2B3C4D", "", false},
		{"0x00:1A:2B:3C:4D:5E", "", false},
		{"00:1a:2b:3c:4d:5e:6f", "", false},
		{"0:01:a2:b3:c4:d5:e", "", false},
		{"", "", false},
	} {
		got, whole := NormalMAC(test.text)
		if whole != test.whole || got != test.want {
			t.Errorf("NormalMAC(%q): got %q, %v, want %q, %v", test.text, got, whole, test.want, test.whole)
		}
	}
}

// TestReading: a text matches as a person reads it, whichever of its spellings is asked for.
func TestReading(t *testing.T) {
	c := Computer{
		OS: "Microsoft\u00a0Windows  Server\u00ae 2008", User: "root/CORP\\Ana/Rene\u0301", Tag: "Intel(R) Xeon(TM)", Serial: "\u00ae",
		Software: []SoftwareItem{{"Adobe\u00a0Reader\u2122 DC", "1"}},
	}
	for text, want := range map[string]bool{
		`os ~ "windows server 2008"`:              true,
		`os ~ "WINDOWS SERVER® 2008"`:             true,
		`os = "microsoft windows server(r) 2008"`: true,
		"os ~ \"windows\u00a0server\"":            true,
		`os ~ "windows server2008"`:               false,
		`tag = "intel xeon"`:                      true,
		`tag ~ "xeon™"`:                           true,
		`tag ~ "(r)"`:                             true,
		`os ~ "(r)"`:                              false,
		`os ~ "®"`:                                true,
		`serial = ""`:                             false,
		`serial ~ "®"`:                            true,
		`user = root`:                             true,
		`user = 'corp\ana'`:                       true,
		`user = ana`:                              false,
		`user = "René"`:                           true,
		`user ~ rené`:                             true,
		`user = rene`:                             false,
		`user != root`:                            false,
		`user != bob`:                             true,
		`user in (bob, root)`:                     true,
		`user = 'root/corp\ana/René'`:             true,
		`user = ""`:                               false,
		`software("adobe reader dc")`:             true,
		"software(\"adobe\u2003reader\")":         true,
	} {
		expr, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := Match(expr, c, now); got != want {
			t.Errorf("%s: got %t, want %t", text, got, want)
		}
	}
}
