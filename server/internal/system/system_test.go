package system

import (
	"testing"

	"enjambre/core"
)

const (
	unixAgent    = "OCS-NG_unified_unix_agent_v2.10.0"
	windowsAgent = "OCS-NG_WINDOWS_AGENT_v2.11.0.1"
)

// TestFamily: which packages a computer can be given.
func TestFamily(t *testing.T) {
	for _, c := range []struct {
		system, agent string
		want          core.OS
	}{
		{"Microsoft Windows 11 Pro", windowsAgent, core.Windows},
		{"Microsoft® Windows Server® 2008", "OCS-NG_windows_client_v4061", core.Windows},
		{"Windows 10", "any", core.Windows},
		{"", windowsAgent, core.Windows},
		{"Windows CE 5.0", "any", ""},
		{"Windows Phone 8", "any", ""},

		{"Debian GNU/Linux 12", unixAgent, core.Linux},
		{"Debian GNU/Linux 12", "any", core.Linux}, // the system says enough
		{"Linux", unixAgent, core.Linux},           // an unknown distribution, as the stock agent says it
		{"Ubuntu 24.04 LTS", unixAgent, core.Linux},
		{"Ubuntu 24.04", "", core.Linux},
		{"Red Hat Enterprise LINUX 9", "", core.Linux},
		{"Red Hat Enterprise Server 6", unixAgent, core.Linux},
		{"CentOS Stream 9", unixAgent, core.Linux},
		{"Fedora release 40", unixAgent, core.Linux},
		{"openSUSE Leap 15.6", unixAgent, core.Linux},
		{"SLES 15", unixAgent, core.Linux},
		{"AlmaLinux 9.4", unixAgent, core.Linux},
		{"Rocky Linux 9", unixAgent, core.Linux},
		{"Slackware", unixAgent, core.Linux},
		{"NixOS 24.05", unixAgent, core.Linux},
		{"Pop!_OS 22.04", unixAgent, core.Linux},
		{"ALT Workstation 10", unixAgent, core.Linux},
		{"Raspbian GNU/Linux 11", unixAgent, core.Linux},

		{"", unixAgent, ""},
		{"SunOS 5.10", unixAgent, ""},
		{"SunOS 5.11", unixAgent, ""},
		{"Oracle Solaris 11.4", unixAgent, ""},
		{"HP-UX", unixAgent, ""},
		{"HP-UX B.11.31", unixAgent, ""},
		{"DragonFly 6.4", unixAgent, ""},
		{"IRIX64 6.5", unixAgent, ""},
		{"OSF1 V5.1", unixAgent, ""},
		{"Tru64 UNIX", unixAgent, ""},
		{"Haiku", unixAgent, ""},
		{"AIX 7.3", unixAgent, ""},
		{"GNU 0.9", unixAgent, ""},
		{"Debian GNU/Hurd", unixAgent, ""},
		{"Debian GNU/kFreeBSD 7", unixAgent, ""},
		{"FreeBSD 14.1 (with Linux emulation)", unixAgent, ""},
		{"OpenBSD 7.5", unixAgent, ""},
		{"NetBSD", unixAgent, ""},
		{"macOS 15.1", unixAgent, ""},
		{"Mac OS X 10.15", unixAgent, ""},
		{"Darwin 24.1.0", unixAgent, ""}, // holds "win", too
		{"VMware ESXi 7.0", unixAgent, ""},
		{"CYGWIN_NT-10.0", unixAgent, ""},
		{"Android Linux 15", "OCS-NG_Android_agent_v2.3", ""},
		{"", "OCS-NG_iOS_agent_v1.0", ""},
		{"Something", unixAgent, ""},
		{"Something", "curl/8", ""},
	} {
		if got := FamilyOf(c.system, c.agent); got != c.want {
			t.Errorf("%q with %q: got %q, want %q", c.system, c.agent, got, c.want)
		}
	}
}

// TestSettled: what an older program took for Linux is not, and what nobody named stays.
func TestSettled(t *testing.T) {
	for _, c := range []struct {
		family core.OS
		system string
		want   core.OS
	}{
		{core.Linux, "SunOS 5.11", ""}, {core.Linux, "Debian", core.Linux}, {core.Linux, "", core.Linux},
		{core.Windows, "Windows 11", core.Windows}, {core.Windows, "", core.Windows}, {"", "Debian", ""},
		{core.Linux, "Windows 11", ""},
	} {
		if got := Settled(c.family, c.system); got != c.want {
			t.Errorf("%q on record with %q: got %q, want %q", c.family, c.system, got, c.want)
		}
	}
}
