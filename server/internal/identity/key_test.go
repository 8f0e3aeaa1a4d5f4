package identity

import (
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"

	"github.com/youmark/pkcs8"

	"enjambre/core/pemfile"
)

// encryptedBlock returns a key under the passphrase "secret", made with little work.
func encryptedBlock(t testing.TB, key crypto.Signer) *pem.Block {
	t.Helper()
	der, err := pkcs8.MarshalPrivateKey(key, []byte("secret"), &pkcs8.Opts{
		Cipher:  pkcs8.AES256CBC,
		KDFOpts: pkcs8.PBKDF2Opts{SaltSize: 8, IterationCount: 1, HMACHash: crypto.SHA256},
	})
	check(t, err)
	return &pem.Block{Type: encryptedKeyType, Bytes: der}
}

// encryptedInfo is the outer form of an encrypted key (RFC 5958, 3).
type encryptedInfo struct {
	Algorithm asn1.RawValue
	Data      []byte
}

// TestDamagedEncryptedKey: a key that was cut or changed is refused, and does not end the program.
func TestDamagedEncryptedKey(t *testing.T) {
	secret := func() ([]byte, error) { return []byte("secret"), nil }
	whole := encryptedBlock(t, newKey(t)).Bytes
	parse := func(der []byte) error {
		block := &pem.Block{Type: encryptedKeyType, Bytes: der}
		_, err := parseKey(pem.EncodeToMemory(block), "x", secret)
		return err
	}
	check(t, parse(whole))
	var parts encryptedInfo
	_, err := asn1.Unmarshal(whole, &parts)
	check(t, err)
	parts.Data = parts.Data[:len(parts.Data)-1] // no whole blocks of the cipher
	shorter, err := asn1.Marshal(parts)
	check(t, err)
	wantMessage(t, parse(shorter), "x: wrong passphrase, or a damaged key")
	for i := range whole {
		damaged := append([]byte{}, whole...)
		damaged[i] ^= 1
		_ = parse(damaged) // whatever it says
		_ = parse(whole[:i])
	}
}

// TestEmptyPassphrase: an empty passphrase is a wrong one.
func TestEmptyPassphrase(t *testing.T) {
	block := encryptedBlock(t, newKey(t))
	_, err := parseKey(pem.EncodeToMemory(block), "x", func() ([]byte, error) { return nil, nil })
	wantMessage(t, err, "wrong passphrase")
}

// TestUselessKeys: keys that no agent's TLS library can use for a server.
func TestUselessKeys(t *testing.T) {
	exchange, err := ecdh.X25519().GenerateKey(rand.Reader)
	check(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(exchange)
	check(t, err)
	cases := map[string]struct {
		block *pem.Block
		text  string
	}{
		"X25519":  {&pem.Block{Type: keyType, Bytes: der}, "cannot sign"},
		"DSA":     {&pem.Block{Type: "DSA PRIVATE KEY", Bytes: []byte{1}}, "DSA PRIVATE KEY is of no use"},
		"OpenSSH": {&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte{1}}, "of no use"},
		"garbage": {&pem.Block{Type: keyType, Bytes: []byte("garbage")}, "x: "},
		"none":    {&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{1}}, "0 private keys"},
	}
	for name, c := range cases {
		_, err := parseKey(pem.EncodeToMemory(c.block), "x", nil)
		t.Run(name, func(t *testing.T) { wantMessage(t, err, c.text) })
	}
}

// TestRSABounds: below 2048 bits is weak, and above 8192 Go's own TLS, which our agents have, gives up.
func TestRSABounds(t *testing.T) {
	public := func(bits uint) *rsa.PublicKey {
		return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537}
	}
	for bits, text := range map[uint]string{
		2047: "2047 bits is too weak", 2048: "", 8192: "", 8193: "8193 bits is too long",
	} {
		err := checkKey(public(bits), "x")
		if text == "" {
			check(t, err)
		} else {
			wantMessage(t, err, text)
		}
	}
}

// TestLargeFile: a file that cannot be a certificate is not read whole.
func TestLargeFile(t *testing.T) {
	large := write(t, &pem.Block{Type: certificateType, Bytes: make([]byte, maxFile)})
	_, err := readCertificates(large)
	wantMessage(t, err, "is larger than")
}

func FuzzParseKey(f *testing.F) {
	f.Add(pem.EncodeToMemory(keyBlock(f, newKey(f))))
	f.Add(pem.EncodeToMemory(encryptedBlock(f, newKey(f))))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if strings.Contains(string(data), encryptedKeyType) && len(data) > 1000 {
			return // costly parameters, which only the administrator can set
		}
		key, err := parseKey(data, "x", nil)
		if err == nil && (key.signer == nil || checkKey(key.signer.Public(), "x") != nil) {
			t.Fatal("a key that agents refuse was accepted")
		}
		_, _ = pemfile.Certificates(data, "x")
	})
}
