package archive

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"enjambre/core"
)

// Bounds of an entry's name, in bytes for Linux and in UTF-16 units for Windows: ext4 and XFS hold 255 bytes in a
// part, NTFS 255 units, which are up to 765 bytes.
const (
	MaxNameLength = 1024
	MaxPartLength = 255
	MaxParts      = 32
)

// lengthOf returns how long a system takes a name to be, and in what it counts.
func lengthOf(name string, os core.OS) (length int, unit string) {
	if os != core.Windows {
		return len(name), "bytes"
	}
	for _, r := range name {
		length += utf16.RuneLen(r)
	}
	return length, "UTF-16 units"
}

// CleanName returns the name under which a file called name in an archive is unpacked, or a refusal:
// of class E_PATH if the name could lead out of its folder, E_NAME if the system os cannot hold it or
// people cannot see what it is. Parts that are empty or "." are taken away, as every system does when it opens such
// a name: `tar c .` and `tar c sub//x` write them.
//
// Whether it collides with another name is a question to the whole archive; see [Check].
func CleanName(name string, os core.OS) (string, error) {
	parts, err := splitName(name, File, os)
	return strings.Join(parts, "/"), err
}

// isRoot reports whether an entry is the archive's root folder, which `tar c .` lists.
func isRoot(name string, typ Type) bool {
	return typ == Dir && name != "" && !strings.HasPrefix(name, "/") && strings.Trim(name, "./") == "" &&
		!strings.Contains(name, "..")
}

// splitName returns the parts of a clean name. Folders may end in a slash.
func splitName(name string, typ Type, os core.OS) ([]string, error) {
	if err := checkPath(name, os); err != nil {
		return nil, err
	}
	name, err := plainName(name, typ)
	if err != nil {
		return nil, err
	}
	if err := checkPath(name, os); err != nil { // what "./" hid
		return nil, err
	}
	parts := strings.Split(name, "/")
	if len(parts) > MaxParts {
		return nil, core.Refuse(core.ClassPath, "is nested %d deep; at most %d are allowed", len(parts), MaxParts)
	}
	for _, part := range parts {
		if err := checkPart(part, os); err != nil {
			return nil, err
		}
	}
	if err := checkVisible(name); err != nil {
		return nil, err
	}
	if os == core.Windows {
		for _, part := range parts {
			if err := checkWindowsPart(part); err != nil {
				return nil, err
			}
		}
	}
	return parts, nil
}

// plainName takes parts that are empty or "." out of a name. A leading "./" may not hide a slash, and a file's name
// may end in neither: with a slash some programs make a folder of it.
func plainName(name string, typ Type) (string, error) {
	inner := name
	for strings.HasPrefix(inner, "./") {
		inner = inner[len("./"):]
	}
	if strings.HasPrefix(inner, "/") && inner != name {
		return "", core.Refuse(core.ClassPath, "has an absolute name: make the archive from inside its folder")
	}
	parts := strings.Split(name, "/")
	if last := parts[len(parts)-1]; typ != Dir && (last == "" || last == ".") {
		return "", core.Refuse(core.ClassPath, "is a file with the name of a folder: pack it again with another tool")
	}
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" || part == "." }), "/"), nil
}

// checkPath refuses names that are not relative, whatever the system reads them.
func checkPath(name string, os core.OS) error {
	length, unit := lengthOf(name, os)
	switch {
	case name == "":
		return core.Refuse(core.ClassPath, "has an empty name")
	case length > MaxNameLength:
		return core.Refuse(core.ClassPath, "has a name of %d %s; at most %d are allowed", length, unit, MaxNameLength)
	case !utf8.ValidString(name):
		return core.Refuse(core.ClassPath, "has a name that is not UTF-8: use a tool that writes UTF-8 names")
	case name[0] == '/':
		return core.Refuse(core.ClassPath, "has an absolute name: make the archive from inside its folder")
	case isDrive(name):
		return core.Refuse(core.ClassPath, "has a drive in its name: make the archive from inside its folder")
	case strings.Contains(name, `\`):
		return core.Refuse(core.ClassPath, `has a backslash in its name: use a tool that writes "/" between parts`)
	}
	return nil
}

// isDrive reports whether a name begins as "C:" does. In lower case "c:" is as likely a file of one
// letter with a stream, which checkWindowsPart refuses, and in Linux a name like any other.
func isDrive(name string) bool {
	return len(name) >= 2 && name[0] >= 'A' && name[0] <= 'Z' && name[1] == ':'
}

// checkPart refuses parts that mean something else than a name.
func checkPart(part string, os core.OS) error {
	length, unit := lengthOf(part, os)
	switch {
	case part == "..":
		return core.Refuse(core.ClassPath, "has a part %q in its name", part)
	case length > MaxPartLength:
		return core.Refuse(core.ClassPath, "has a part of %d %s in its name; at most %d are allowed", length, unit,
			MaxPartLength)
	}
	return nil
}

// checkVisible refuses names that do not show what they are.
func checkVisible(name string) error {
	for _, r := range name {
		if unicode.IsControl(r) {
			return core.Refuse(core.ClassName, "has the control character %U in its name", r)
		}
		if core.IsDeceptive(r) {
			return core.Refuse(core.ClassName, "has the invisible character %U in its name", r)
		}
	}
	return nil
}

// checkWindowsPart refuses parts that Windows cannot hold or reads as something else.
func checkWindowsPart(part string) error {
	if at := strings.IndexAny(part, `<>:"|?*`); at >= 0 {
		return core.Refuse(core.ClassName, "has %q in its name, which Windows does not allow", part[at])
	}
	if last := part[len(part)-1]; last == '.' || last == ' ' {
		return core.Refuse(core.ClassName, "has a part that ends in %q, which Windows drops", last)
	}
	stem, extension, _ := strings.Cut(part, ".")
	if isReserved(stem) {
		return core.Refuse(core.ClassName, "has the part %q, which is the name of a device in Windows", part)
	}
	if isShortName(stem, extension) {
		return core.Refuse(core.ClassName, "has the part %q, which Windows can read as another's short name", part)
	}
	return nil
}

// reserved are the devices of Windows besides the ports.
var reserved = []string{"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}

// isReserved reports whether a part before its first dot names a device; spaces behind it do not
// count, and a port's number may be a superscript.
func isReserved(stem string) bool {
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	if slices.Contains(reserved, stem) {
		return true
	}
	port, isPort := strings.CutPrefix(stem, "COM")
	if !isPort {
		port, isPort = strings.CutPrefix(stem, "LPT")
	}
	return isPort && utf8.RuneCountInString(port) == 1 && strings.Contains("0123456789¹²³", port)
}

// isShortName reports whether a part has the form that Windows gives to its 8.3 aliases, PROGRA~1.
func isShortName(stem, extension string) bool {
	at := strings.LastIndexByte(stem, '~')
	if at < 0 || utf8.RuneCountInString(stem) > 8 || utf8.RuneCountInString(extension) > 3 {
		return false
	}
	digits := stem[at+1:]
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}
