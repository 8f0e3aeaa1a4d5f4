package core

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// A PackageID is the Unix time, in seconds, at which a package was built; it is unique within a
// deployment. The zero PackageID names nothing. It is a string of digits wherever a person or a
// program reads it, so it marshals as text.
type PackageID int64

// maxPackageIDDigits keeps an ID inside int64 whatever its digits.
const maxPackageIDDigits = 18

// ParsePackageID reads the decimal digits that String writes: 1 to 18 of them, no sign, no leading
// zero. It accepts no other spelling, since the ID is also a folder's name.
func ParsePackageID(text string) (PackageID, error) {
	if len(text) == 0 || len(text) > maxPackageIDDigits || text[0] == '0' {
		return 0, Refuse(ClassField, "package ID %q is not 1 to %d digits without a leading zero", clip(text),
			maxPackageIDDigits)
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, Refuse(ClassField, "package ID %q is not all digits", clip(text))
		}
	}
	number, err := strconv.ParseInt(text, 10, 64)
	return PackageID(number), err
}

// String returns the decimal digits.
func (id PackageID) String() string { return strconv.FormatInt(int64(id), 10) }

// MarshalText makes the ID a string in JSON: a JavaScript number would lose digits one day.
func (id PackageID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the reverse of MarshalText, with the rules of [ParsePackageID].
func (id *PackageID) UnmarshalText(text []byte) (err error) {
	*id, err = ParsePackageID(string(text))
	return err
}

// A Digest is a SHA-256. The zero Digest names nothing.
type Digest [sha256.Size]byte

// DigestOf returns the digest of data.
func DigestOf(data []byte) Digest { return sha256.Sum256(data) }

// ParseDigest reads the 64 lower-case hex digits that String writes. It accepts no other spelling,
// so equal digests have equal texts.
func ParseDigest(text string) (Digest, error) {
	var digest Digest
	if len(text) != hex.EncodedLen(len(digest)) {
		return Digest{}, Refuse(ClassField, "digest %q has %d characters, want %d", clip(text), len(text),
			2*len(digest))
	}
	if _, err := hex.Decode(digest[:], []byte(text)); err != nil || digest.String() != text {
		return Digest{}, Refuse(ClassField, "digest %q is not lower-case hexadecimal", text)
	}
	return digest, nil
}

// String returns 64 lower-case hex digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText makes the digest a string in JSON.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is the reverse of MarshalText, with the rules of [ParseDigest].
func (d *Digest) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDigest(string(text))
	return err
}

// A FragmentIndex is a fragment's place in its package, counted from 0. File names count from 1.
type FragmentIndex uint32

// A DeviceID is a computer's name in the protocol: host name and the local time of the agent's first
// run, as HOST-YYYY-MM-DD-HH-MM-SS. It is not a secret and, from a stock agent, not proven.
type DeviceID string

// MaxDeviceID is the longest device ID in bytes; stock servers keep it in a column of this width.
const MaxDeviceID = 255

// deviceTime is the shape of a device ID's end: 0 stands for a digit.
const deviceTime = "-0000-00-00-00-00-00"

// ParseDeviceID accepts what a stock server accepts: anything printable, then a time of first run.
func ParseDeviceID(text string) (DeviceID, error) {
	if len(text) <= len(deviceTime) || len(text) > MaxDeviceID {
		return "", Refuse(ClassField, "device ID %q does not have the form HOST-YYYY-MM-DD-HH-MM-SS", clip(text))
	}
	if !Printable(text) {
		return "", Refuse(ClassField, "device ID %q holds control characters", clip(text))
	}
	end := text[len(text)-len(deviceTime):]
	for i := range len(deviceTime) {
		isDigit := end[i] >= '0' && end[i] <= '9'
		if isDigit != (deviceTime[i] == '0') || !isDigit && end[i] != '-' {
			return "", Refuse(ClassField, "device ID %q does not end in -YYYY-MM-DD-HH-MM-SS", clip(text))
		}
	}
	return DeviceID(text), nil
}

// A SiteName names a place whose computers reach each other cheaply: 1 to 64 letters, digits, '-',
// '_' or '.', in lower case, beginning with a letter or digit. "" means no site.
type SiteName string

// ParseSiteName checks a site's name; it does not change case, so that one name has one spelling.
func ParseSiteName(text string) (SiteName, error) {
	valid := len(text) >= 1 && len(text) <= 64 && text[0] != '-' && text[0] != '_' && text[0] != '.'
	for _, r := range text {
		lower := r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
		valid = valid && lower
	}
	if !valid {
		return "", Refuse(ClassField,
			"site name %q: use 1 to 64 of a-z, 0-9, '-', '_' and '.', beginning with a letter or digit", clip(text))
	}
	return SiteName(text), nil
}

// Printable reports whether text is valid UTF-8 without control characters and without the
// characters that make a terminal or a browser show something other than what is stored
// (bidirectional overrides, zero-width marks).
func Printable(text string) bool {
	if !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		if unicode.IsControl(r) || IsDeceptive(r) {
			return false
		}
	}
	return true
}

// IsDeceptive reports whether r changes how its neighbours are shown without being seen itself:
// the bidirectional controls and zero-width characters of Unicode's category Cf, and the line and
// paragraph separators.
func IsDeceptive(r rune) bool {
	return unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// clip shortens foreign text for a message.
func clip(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return text[:most] + "..."
}
