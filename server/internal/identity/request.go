package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"enjambre/core"
)

// RequestOptions say what an authority wants of a request. The zero value makes a P-256 key, with the deployment's name
// as the common name.
type RequestOptions struct {
	Key     string // p256, p384, or rsa:BITS with 2048, 3072 or 4096 bits; Active Directory's templates want RSA
	Subject string // "CN=deploy, O=Example, C=DE", or as OpenSSL writes it, "/C=DE/O=Example/CN=deploy"
}

// makeKey makes a key of the kind that is asked for.
func makeKey(kind string) (crypto.Signer, error) {
	switch kind {
	case "", "p256":
		return newServerKey()
	case "p384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	}
	bits, isRSA := strings.CutPrefix(kind, "rsa:")
	if size, err := strconv.Atoi(bits); isRSA && err == nil && slices.Contains([]int{2048, 3072, 4096}, size) {
		return rsa.GenerateKey(rand.Reader, size)
	}
	return nil, core.Refuse(core.ClassField, "key %q: choose p256, p384, rsa:2048, rsa:3072 or rsa:4096", kind)
}

// A subjectField is what a subject may say, with the upper bound of RFC 5280, appendix A.1, in characters.
type subjectField struct {
	id   asn1.ObjectIdentifier
	most int
}

var subjectFields = map[string]subjectField{
	"CN": {asn1.ObjectIdentifier{2, 5, 4, 3}, 64}, "C": {asn1.ObjectIdentifier{2, 5, 4, 6}, 2},
	"L": {asn1.ObjectIdentifier{2, 5, 4, 7}, 128}, "ST": {asn1.ObjectIdentifier{2, 5, 4, 8}, 128},
	"O": {asn1.ObjectIdentifier{2, 5, 4, 10}, 64}, "OU": {asn1.ObjectIdentifier{2, 5, 4, 11}, 64},
}

// parseSubject reads a subject. A backslash takes the meaning from the next character.
func parseSubject(text string) (pkix.Name, error) {
	separator := ','
	if strings.HasPrefix(text, "/") {
		separator, text = '/', text[1:]
	}
	written := splitEscaped(text, separator)
	if separator == ',' {
		slices.Reverse(written) // RFC 4514: the text begins with what is last in the certificate
	}
	var name pkix.Name
	for _, field := range written {
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		known, is := subjectFields[strings.ToUpper(strings.TrimSpace(key))]
		value = strings.TrimSpace(value)
		length := utf8.RuneCountInString(value)
		if !is || length == 0 || length > known.most || !core.Printable(value) {
			return pkix.Name{}, core.Refuse(core.ClassField, "subject: %q: want a list such as "+
				"\"CN=deploy, O=Example, C=DE\" of CN, O, OU (at most 64 characters), L, ST (128) and C (2)", field)
		}
		name.ExtraNames = append(name.ExtraNames, pkix.AttributeTypeAndValue{Type: known.id, Value: value})
	}
	return name, nil
}

// splitEscaped cuts a text at each separator that has no backslash before it, and takes the backslashes away.
func splitEscaped(text string, separator rune) []string {
	var list []string
	var field strings.Builder
	escaped := false
	for _, r := range text {
		switch {
		case r == '\\' && !escaped:
			escaped = true
			continue
		case r == separator && !escaped:
			list = append(list, field.String())
			field.Reset()
		default:
			field.WriteRune(r)
		}
		escaped = false
	}
	return append(list, field.String())
}
