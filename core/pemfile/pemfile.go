// Package pemfile reads files of certificates and keys as people have them.
//
// It is the one reader of both programs. Its law: nothing of a file is dropped in silence. Each "-----BEGIN" becomes a
// block, or the file is refused, with the line and what to do. encoding/pem passes over whatever it cannot read: of
// three authorities in a file whose lines were glued together by `cat`, it finds one.
//
// What other programs read is read: a byte order mark, as Notepad writes it; indented lines; the line ends of Windows
// and of old Macs; text between the blocks; and OpenSSL's other names for certificates.
package pemfile

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"strings"

	"enjambre/core"
)

// MaxFile bounds a file, in bytes: several times all the public authorities of an operating system.
const MaxFile = 1 << 20

// The type of certificates in PEM, and OpenSSL's other names for it.
const (
	Certificate        = "CERTIFICATE"
	oldCertificate     = "X509 CERTIFICATE"
	trustedCertificate = "TRUSTED CERTIFICATE" // followed by what OpenSSL trusts it for
)

const (
	begin   = "-----BEGIN"
	end     = "-----END"
	byteBOM = "\xef\xbb\xbf"
)

// Blocks returns all blocks of a PEM file, in order; there may be none. Certificates of all names have the type
// [Certificate]. Name is the file's, for messages. A refusal has class E_FORMAT, or E_LIMIT for a file of more than
// [MaxFile] bytes.
func Blocks(data []byte, name string) ([]*pem.Block, error) {
	if len(data) > MaxFile {
		return nil, core.Refuse(core.ClassLimit, "%s is larger than %d bytes", name, MaxFile)
	}
	if isUTF16(data) {
		return nil, core.Refuse(core.ClassFormat, "%s is written in UTF-16: convert it with "+
			"\"iconv -f UTF-16 -t UTF-8 %s\", or save it as UTF-8", name, name)
	}
	var list []*pem.Block
	lines := plainLines(data)
	for at := 0; at < len(lines); at++ {
		line := lines[at]
		switch {
		case !strings.Contains(line, begin) && !strings.Contains(line, end):
			continue // text between the blocks
		case !isMark(line, begin):
			return nil, badLine(line, name, at)
		}
		last, err := endOf(lines, at, name)
		if err != nil {
			return nil, err
		}
		block, rest := pem.Decode([]byte(strings.Join(lines[at:last+1], "\n") + "\n"))
		if block == nil || len(bytes.TrimSpace(rest)) > 0 || len(block.Bytes) == 0 {
			return nil, core.Refuse(core.ClassFormat, "%s, lines %d to %d: the block %q is damaged; copy it again", name, at+1,
				last+1, strings.Trim(line, "-"))
		}
		list, at = append(list, plainBlock(block)), last
	}
	return list, nil
}

// plainLines returns the lines of a text without what means nothing in PEM.
func plainLines(data []byte) []string {
	text := strings.TrimPrefix(string(data), byteBOM)
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.Trim(strings.TrimPrefix(line, byteBOM), " \t\u00a0") // files that were joined have it inside
	}
	return lines
}

// isMark reports whether a line is nothing but the begin or the end of a block.
func isMark(line, mark string) bool {
	kind, is := strings.CutPrefix(line, mark+" ")
	kind, closed := strings.CutSuffix(kind, "-----")
	return is && closed && !strings.Contains(kind, "--")
}

// endOf returns where the block ends that begins at a line.
func endOf(lines []string, at int, name string) (int, error) {
	for last := at + 1; last < len(lines); last++ {
		switch line := lines[last]; {
		case isMark(line, end) && strings.TrimPrefix(line, end) == strings.TrimPrefix(lines[at], begin):
			return last, nil
		case strings.Contains(line, begin) || strings.Contains(line, end):
			return 0, badLine(line, name, last)
		}
	}
	return 0, core.Refuse(core.ClassFormat, "%s: the block that begins at line %d has no end; copy it again", name, at+1)
}

// badLine says what is wrong with a line that has a mark where none belongs.
func badLine(line, name string, at int) error {
	if strings.Contains(line, begin) && strings.Contains(line, end) {
		return core.Refuse(core.ClassFormat, "%s, line %d: the end of a block and the begin of the next one are on one "+
			"line, as when files without a last line break are joined; put a line break between them", name, at+1)
	}
	return core.Refuse(core.ClassFormat, "%s, line %d: %.60q is out of place: a block before it has no end or no begin, "+
		"or the line holds more than it should; copy the file again", name, at+1, line)
}

// plainBlock gives a certificate its usual name, and takes away what OpenSSL adds to a trusted one.
func plainBlock(block *pem.Block) *pem.Block {
	switch block.Type {
	case trustedCertificate:
		var first asn1.RawValue
		if _, err := asn1.Unmarshal(block.Bytes, &first); err == nil {
			block.Bytes = first.FullBytes
		}
		block.Type = Certificate
	case oldCertificate:
		block.Type = Certificate
	}
	return block
}

// Certificates returns all certificates of a PEM file, of which there must be one at least. Blocks of other types, such
// as keys, are passed over; those that hold certificates in another form are refused. See [Blocks].
func Certificates(data []byte, name string) ([]*x509.Certificate, error) {
	blocks, err := Blocks(data, name)
	if err != nil {
		return nil, err
	}
	var list []*x509.Certificate
	for _, block := range blocks {
		switch block.Type {
		case Certificate:
			one, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, core.Refuse(core.ClassFormat, "%s: certificate %d: %v%s", name, len(list)+1, err, remedy(err))
			}
			list = append(list, one)
		case "PKCS7", "CMS":
			return nil, core.Refuse(core.ClassFormat, "%s holds certificates as PKCS #7: convert it with "+
				"\"openssl pkcs7 -print_certs -in %s\"", name, name)
		}
	}
	if len(list) == 0 {
		return nil, core.Refuse(core.ClassFormat, "%s holds no certificate in PEM form%s", name, OtherForm(data, name))
	}
	return list, nil
}

// remedy says what to do about a certificate that OpenSSL reads and Go does not.
func remedy(err error) string {
	if strings.Contains(err.Error(), "negative serial number") {
		return ", which RFC 5280 forbids and agents refuse; have it issued again, with a positive serial number"
	}
	return ""
}

// OtherForm says in which binary form a file is that has no PEM, and how to convert it; "" if it is none that is known.
func OtherForm(data []byte, name string) string {
	var outer asn1.RawValue
	if rest, err := asn1.Unmarshal(data, &outer); err != nil || len(rest) > 0 || outer.Tag != asn1.TagSequence {
		return ""
	}
	if _, err := x509.ParseCertificateRequest(data); err == nil {
		return ": it is a request in DER, not the certificate that answers it"
	}
	if _, err := x509.ParsePKCS8PrivateKey(data); err == nil {
		return ": it is a key in DER; convert it with \"openssl pkey -inform der -in " + name + "\""
	}
	var version int
	var kind asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(outer.Bytes, &version); err == nil && version == pfxVersion {
		return ": it is a PFX (PKCS #12); convert it with \"openssl pkcs12 -in " + name + " -nodes\""
	}
	if _, err := asn1.Unmarshal(outer.Bytes, &kind); err == nil && kind.Equal(signedData) {
		return ": it is PKCS #7; convert it with \"openssl pkcs7 -inform der -print_certs -in " + name + "\""
	}
	var body asn1.RawValue
	if _, err := asn1.Unmarshal(outer.Bytes, &body); err == nil && body.Tag == asn1.TagSequence {
		return ": it is DER; convert it with \"openssl x509 -inform der -in " + name + "\""
	}
	return ""
}

// pfxVersion begins a PFX (RFC 7292, 4); signedData is what PKCS #7 files of certificates hold (RFC 5652, 5.1).
const pfxVersion = 3

var signedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}

// isUTF16 reports whether a text is written so, with a byte order mark or without.
func isUTF16(data []byte) bool {
	wide := func(text string) []byte {
		var all []byte
		for i := range len(text) {
			all = append(all, text[i], 0)
		}
		return all[:len(all)-1] // without the last zero, it is found in both orders
	}
	return bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) ||
		bytes.Contains(data, wide(begin))
}
