package archive

import (
	"strings"

	"enjambre/core"
)

// Types in the upper bits of a Unix mode.
const (
	unixType    = 0o170000
	unixFile    = 0o100000
	unixDir     = 0o040000
	unixSymlink = 0o120000
	unixFIFO    = 0o010000
)

// Attributes in the lower bits, from systems that have those of DOS.
const (
	dosLabel  = 0x08  // the name of a disk; unzip passes over such an entry
	dosFolder = 0x10  // some programs make a folder of it
	dosLink   = 0x400 // a reparse point; 7-Zip makes a link of it
)

// Systems that an entry may say it was made on (APPNOTE 4.4.2).
const (
	madeOnDOS   = 0
	madeOnUnix  = 3
	madeOnHPFS  = 6
	madeOnNTFS  = 11 // as 7-Zip numbers it, and APPNOTE does 10
	madeOnVFAT  = 14
	madeOnMacOS = 19
)

// zipType says what an entry is, and refuses what programs disagree about. What unzip, 7-Zip and bsdtar make of
// each combination was tried: unzip goes by the name's last character alone; 7-Zip and bsdtar go by the attributes
// of DOS and of Unix first; each of the three makes links of entries from systems of which the others make files.
//
// A pipe is what a writer saw that was given its standard input: with content it is a file to all. Writers on other
// systems than Unix leave anything in the bits of its types.
func zipType(record zipRecord) (Type, error) {
	kind := record.mode & unixType
	dos := record.attributes
	if !hasDOSAttributes(record.host) {
		dos = 0
	}
	switch {
	case kind == unixSymlink || dos&dosLink != 0:
		return 0, core.Refuse(core.ClassLink, "is a link: a zip may not have links (zip -r without -y packs the file)")
	case dos&dosLabel != 0:
		return 0, core.Refuse(core.ClassType, "is the label of a disk by its attributes: "+packAgain)
	case strings.HasSuffix(record.name, "/"):
		return Dir, nil
	case kind == unixDir || dos&dosFolder != 0:
		return 0, core.Refuse(core.ClassFormat, "is a folder by its attributes and a file by its name: programs take it for "+
			"one or the other; "+packAgain)
	case kind == 0 || kind == unixFile || !isUnix(record.host):
		return File, nil
	case kind == unixFIFO && record.size == 0:
		return 0, core.Refuse(core.ClassType, "is a named pipe, or standard input without content: leave it out")
	case kind == unixFIFO:
		return File, nil
	}
	return 0, core.Refuse(core.ClassType, "is neither a file nor a folder: leave it out, and pack files instead of "+
		"standard input")
}

// isUnix reports whether a system writes Unix modes that mean what they say.
func isUnix(host uint8) bool { return host == madeOnUnix || host == madeOnMacOS }

// hasDOSAttributes reports whether the lower bits are taken for those of DOS by some program.
func hasDOSAttributes(host uint8) bool {
	return host == madeOnDOS || host == madeOnHPFS || host == madeOnNTFS || host == madeOnVFAT
}

// zipMode returns the twelve permission bits of an entry of type typ. Only Unix is believed.
func zipMode(record zipRecord, typ Type) uint32 {
	if isUnix(record.host) && record.mode != 0 {
		return record.mode &^ unixType
	}
	if typ == Dir {
		return 0o755
	}
	return 0o644
}

// zipNameWarning says that stock agents write another name than ours; "" if they do not. Without the flag for UTF-8,
// and without a field that repeats the name in UTF-8, Windows reads the bytes in its own code page. The macOS
// Finder writes such names.
func zipNameWarning(record zipRecord) string {
	if record.flags&zipUTF8 != 0 || isASCII(record.name) || extraField(record.extra, unicodeExtra) != nil {
		return ""
	}
	return "has a name that is not marked as UTF-8: stock agents on Windows write another name; zip -r marks it, " +
		"7-Zip does with cu=on"
}

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r > 0x7f }) < 0
}
