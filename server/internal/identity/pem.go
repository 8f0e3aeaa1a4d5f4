package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/youmark/pkcs8"

	"enjambre/core"
	"enjambre/core/pemfile"
)

// The PEM types that are read and written.
const (
	certificateType  = "CERTIFICATE"
	requestType      = "CERTIFICATE REQUEST"
	keyType          = "PRIVATE KEY"
	encryptedKeyType = "ENCRYPTED PRIVATE KEY"
)

// A Passphrase gives the passphrase of a key. It is called only for a key that has one; nil means that
// there is none to give.
type Passphrase func() ([]byte, error)

// readCertificates reads a file of certificates.
func readCertificates(name string) ([]*x509.Certificate, error) {
	data, err := readFile(name)
	if err != nil {
		return nil, err
	}
	return pemfile.Certificates(data, name)
}

// encodeCertificates writes certificates in PEM form, in order.
func encodeCertificates(list []*x509.Certificate) []byte {
	var data bytes.Buffer
	for _, certificate := range list {
		data.Write(pem.EncodeToMemory(&pem.Block{Type: certificateType, Bytes: certificate.Raw}))
	}
	return data.Bytes()
}

// A privateKey is a key with the PEM block that it came in, which may be encrypted.
type privateKey struct {
	signer crypto.Signer
	block  *pem.Block
}

// parseKey reads the private key of a PEM file; there must be exactly one.
func parseKey(data []byte, name string, passphrase Passphrase) (privateKey, error) {
	var found []*pem.Block
	blocks, err := pemfile.Blocks(data, name)
	if err != nil {
		return privateKey{}, err
	}
	for _, block := range blocks {
		if strings.HasSuffix(block.Type, keyType) {
			found = append(found, block)
		}
	}
	if len(found) != 1 {
		return privateKey{}, core.Refuse(core.ClassFormat, "%s holds %d private keys in PEM form, want one%s", name,
			len(found), pemfile.OtherForm(data, name))
	}
	block := found[0]
	if block.Headers["DEK-Info"] != "" {
		return privateKey{}, core.Refuse(core.ClassFormat,
			"%s: the key is encrypted in an old form; convert it with \"openssl pkcs8 -topk8 -in %s\"", name, name)
	}
	parsed, err := decodeKey(block, name, passphrase)
	if err != nil {
		return privateKey{}, err
	}
	signer, isSigner := parsed.(crypto.Signer)
	if !isSigner {
		return privateKey{}, core.Refuse(core.ClassType, "%s: a key of type %T cannot sign", name, parsed)
	}
	return privateKey{signer: signer, block: block}, checkKey(signer.Public(), name)
}

func decodeKey(block *pem.Block, name string, passphrase Passphrase) (parsed any, err error) {
	switch block.Type {
	case keyType:
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		parsed, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case encryptedKeyType:
		if passphrase == nil {
			return nil, core.Refuse(core.ClassKeys, "%s: the key has a passphrase; give it", name)
		}
		if err := checkEncryption(block.Bytes, name); err != nil {
			return nil, err
		}
		secret, err := passphrase()
		if err != nil {
			return nil, err
		}
		parsed, err := decrypt(block.Bytes, secret)
		if err != nil && strings.Contains(err.Error(), "unsupported") {
			return nil, core.Refuse(core.ClassFormat, "%s: the key is encrypted in an unusual way (%v); convert it with "+
				"\"openssl pkcs8 -topk8 -v2 aes-256-cbc -in %s\"", name, err, name)
		}
		if err != nil {
			return nil, core.Refuse(core.ClassKeys, "%s: wrong passphrase, or a damaged key (%v)", name, err)
		}
		return parsed, nil
	default:
		return nil, core.Refuse(core.ClassType, "%s: a %s is of no use here", name, block.Type)
	}
	if err != nil {
		return nil, core.Refuse(core.ClassFormat, "%s: %v", name, err)
	}
	return parsed, nil
}

// pbes2 is how keys are encrypted today (RFC 8018, 6.2); oldEncryptions are those that PFX tools still write.
var (
	pbes2          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oldEncryptions = map[string]string{
		"1.2.840.113549.1.5.1": "PBE-MD2-DES", "1.2.840.113549.1.5.3": "PBE-MD5-DES",
		"1.2.840.113549.1.5.4": "PBE-MD2-RC2-64", "1.2.840.113549.1.5.6": "PBE-MD5-RC2-64",
		"1.2.840.113549.1.5.10": "PBE-SHA1-DES", "1.2.840.113549.1.5.11": "PBE-SHA1-RC2-64",
		"1.2.840.113549.1.12.1.1": "PBE-SHA1-RC4-128", "1.2.840.113549.1.12.1.2": "PBE-SHA1-RC4-40",
		"1.2.840.113549.1.12.1.3": "PBE-SHA1-3DES", "1.2.840.113549.1.12.1.4": "PBE-SHA1-2DES",
		"1.2.840.113549.1.12.1.5": "PBE-SHA1-RC2-128", "1.2.840.113549.1.12.1.6": "PBE-SHA1-RC2-40",
	}
)

// checkEncryption refuses a key that is encrypted in an old form, before anybody is asked for its passphrase. OpenSSL 3
// reads some of them with its legacy provider only.
func checkEncryption(der []byte, name string) error {
	var encrypted struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	if _, err := asn1.Unmarshal(der, &encrypted); err != nil || encrypted.Algorithm.Algorithm.Equal(pbes2) {
		return nil // what is damaged, decrypting says
	}
	kind, known := oldEncryptions[encrypted.Algorithm.Algorithm.String()]
	if !known {
		kind = "algorithm " + encrypted.Algorithm.Algorithm.String()
	}
	return core.Refuse(core.ClassFormat, "%s: the key is encrypted in an old form (%s); convert it with "+
		"\"openssl pkcs8 -in %s -provider legacy -provider default | openssl pkcs8 -topk8 -v2 aes-256-cbc\"", name, kind, name)
}

// decrypt reads an encrypted key. The library panics when the IV or the key's bytes are not whole blocks of
// the cipher, as in a file that was cut.
func decrypt(der, secret []byte) (parsed any, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("%v", reason)
		}
	}()
	parsed, _, err = pkcs8.ParsePrivateKey(der, secret)
	return parsed, err
}

// maxRSA is the longest RSA key that our agents verify with, in bits: beyond it crypto/tls ends the
// handshake.
const maxRSA = 8192

// checkKey refuses keys that are too weak or that agents' TLS libraries do not know.
func checkKey(public crypto.PublicKey, name string) error {
	switch key := public.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 {
			return core.Refuse(core.ClassKeys, "%s: an RSA key of %d bits is too weak; use 2048 or more", name,
				key.N.BitLen())
		}
		if key.N.BitLen() > maxRSA {
			return core.Refuse(core.ClassKeys, "%s: an RSA key of %d bits is too long; use at most %d", name,
				key.N.BitLen(), maxRSA)
		}
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return core.Refuse(core.ClassKeys, "%s: curve %s; use P-256 or P-384", name, key.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return core.Refuse(core.ClassKeys, "%s: a key of type %T; use ECDSA or RSA", name, public)
	}
	return nil
}

// keyName describes a public key for people.
func keyName(public crypto.PublicKey) string {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", public)
}

// equalKeys reports whether two public keys are the same.
func equalKeys(a, b crypto.PublicKey) bool {
	comparable, can := a.(interface{ Equal(crypto.PublicKey) bool })
	return can && comparable.Equal(b)
}

// encodeKey writes a key without passphrase as PKCS #8.
func encodeKey(key crypto.Signer) (*pem.Block, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &pem.Block{Type: keyType, Bytes: der}, nil
}

// readOwnKey reads one of the deployment's own keys, which are Ed25519 and have no passphrase.
func readOwnKey(name string) (ed25519.PrivateKey, error) {
	data, err := readFile(name)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	key, err := parseKey(data, name, nil)
	if err != nil {
		return nil, err
	}
	own, isEd25519 := key.signer.(ed25519.PrivateKey)
	if !isEd25519 {
		return nil, core.Refuse(core.ClassType, "%s: %s, want Ed25519", name, keyName(key.signer.Public()))
	}
	return own, nil
}

// writeKey writes a key without passphrase.
func writeKey(name string, key crypto.Signer) error {
	block, err := encodeKey(key)
	if err != nil {
		return err
	}
	return writeFile(name, pem.EncodeToMemory(block), secretMode)
}

// errNoCertificate says that a certificate is still to be installed.
var errNoCertificate = errors.New("no certificate is installed")
