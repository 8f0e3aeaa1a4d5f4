// Package system tells by an operating system's name which packages are made for it.
//
// It works by lists of what is known to be Windows or Linux. Everything else is neither: a package for Linux on Solaris
// would overwrite files and run commands as root that mean something else there. It knows nothing of inventories and of
// the store.
package system

import (
	"slices"
	"strings"
	"unicode"

	"enjambre/core"
)

// FamilyOf returns Windows, Linux, or "" for a system that is neither or not known, by the name that an inventory
// gives it in HARDWARE/OSNAME. An inventory without that name is judged by the agent's: the stock agent for Windows
// runs nowhere else, while that for Unix runs on a dozen systems.
func FamilyOf(name, agent string) core.OS {
	words := wordsOf(name)
	switch {
	case len(words) == 0 && isWindowsAgent(agent):
		return core.Windows
	case slices.Contains(words, "windows") && !slices.ContainsFunc(words, isSmallWindows):
		return core.Windows
	case slices.ContainsFunc(words, isStranger):
		return ""
	case slices.ContainsFunc(words, isLinux), beginsLinux(words):
		return core.Linux
	}
	return ""
}

// FamilyOfAgent returns the system that packages for an agent are most likely made for, by the name that it gives
// itself; "" when the name does not say. It is no proof: FamilyOf is.
func FamilyOfAgent(agent string) core.OS {
	switch {
	case isWindowsAgent(agent):
		return core.Windows
	case strings.HasPrefix(agent, "OCS-NG_unified_unix_agent"):
		return core.Linux
	}
	return ""
}

// Settled returns the family of a computer on record, whose inventory may have been judged by an older program. That
// took every system it did not know for Linux, if it had an agent for Unix.
func Settled(family core.OS, name string) core.OS {
	if len(wordsOf(name)) > 0 && FamilyOf(name, "") != family {
		return ""
	}
	return family
}

func isWindowsAgent(agent string) bool {
	return strings.HasPrefix(agent, "OCS-NG_WINDOWS_AGENT") || strings.HasPrefix(agent, "OCS-NG_windows_client")
}

// wordsOf returns the runs of letters in a name, in lower case.
func wordsOf(name string) []string {
	return strings.FieldsFunc(strings.ToLower(name), func(c rune) bool { return !unicode.IsLetter(c) })
}

// isLinux reports whether a word of a name is one that only a distribution of Linux has: one with "linux" at its end,
// as in AlmaLinux, or the name of one.
func isLinux(word string) bool {
	return strings.HasSuffix(word, "linux") || slices.Contains(distributions, word)
}

// distributions are those whose names in /etc/os-release (NAME, PRETTY_NAME) or in the modules of the stock agent for
// Unix (Distro/NonLSB) do not say "Linux".
var distributions = []string{
	"alma", "anolis", "antix", "asianux", "astra", "bazzite", "bottlerocket", "bunsenlabs", "buildroot", "cachyos", "centos",
	"clearos", "coreos", "crunchbang", "crux", "debian", "deepin", "devuan", "dietpi", "elementary", "endeavouros", "euleros",
	"exherbo", "fedora", "flatcar", "funtoo", "garuda", "gentoo", "guadalinex", "guix", "kali", "kaos", "knoppix", "kubuntu",
	"kylin", "libreelec", "lliurex", "lmde", "lubuntu", "mageia", "mandrake", "mandriva", "manjaro", "microos", "mint", "mx",
	"nethserver", "nixos", "nobara", "openeuler", "openmandriva", "openmediavault", "opensuse", "openwrt", "osmc",
	"parabola", "pardus", "parrot", "peppermint", "popos", "porteus", "postmarketos", "proxmox", "pureos", "qubes", "raspbian",
	"redhat", "redos", "rhcos", "rhel", "rocky", "rosa", "sabayon", "siduction", "slackware", "slax", "sled", "sles",
	"slitaz", "solus", "sparky", "steamos", "suse", "tails", "trisquel", "trustix", "ubuntu", "ubuntukylin", "ultramarine",
	"univention", "uos", "virtuozzo", "vyos", "xenserver", "xubuntu", "zentyal", "zorin",
}

// phrases are what the names of distributions begin with whose single words others have, too.
var phrases = []string{
	"alt", "arch", "cbl mariner", "container optimized os", "endless os", "kde neon", "oracle server", "pop os", "raspberry pi os",
	"red hat", "red os", "void", "wind river", "xcp ng",
}

// beginsLinux reports whether a name begins with one of the phrases.
func beginsLinux(words []string) bool {
	return slices.ContainsFunc(phrases, func(phrase string) bool {
		wanted := strings.Fields(phrase)
		return len(words) >= len(wanted) && slices.Equal(words[:len(wanted)], wanted)
	})
}

// strangers are words that show a system to be neither, whatever else its name says: "Debian GNU/Hurd", "Android Linux".
// Besides, every word is one that ends in "bsd": "Debian GNU/kFreeBSD", "FreeBSD with Linux emulation". The names are
// those that uname and the modules of the stock agent for Unix use, as far as it has one for the system.
var strangers = []string{
	"dragonfly", "bitrig", "opnsense", "pfsense", "freenas", "sunos", "solaris", "opensolaris", "openindiana", "illumos",
	"omnios", "smartos", "nexenta", "tribblix", "ux", "hpux", "aix", "irix", "osf", "tru", "unix", "unixware", "openserver",
	"sco", "ultrix", "qnx", "minix", "haiku", "beos", "hurd", "darwin", "mac", "macos", "osx", "ios", "ipados", "tvos",
	"android", "chromeos", "cygwin", "msys", "mingw", "interix", "vmkernel", "esx", "esxi", "vms", "openvms", "netware",
	"fuchsia", "reactos", "vxworks", "junos",
}

// isStranger reports whether a word of a name shows a system to be neither.
func isStranger(word string) bool {
	return strings.HasSuffix(word, "bsd") || slices.Contains(strangers, word)
}

// isSmallWindows reports whether a word of a name shows a Windows to be one that runs no programs for PCs.
func isSmallWindows(word string) bool { return word == "ce" || word == "mobile" || word == "phone" }
