// Package state is the agent's state folder: who it is and whom it trusts.
//
//	key.pem          the agent's Ed25519 key, PKCS #8; made once, never leaves the computer
//	device           the device ID, chosen once
//	certificate.pem  the agent's certificate
//	agent-ca.pem     the authority that certifies members; after it was replaced, the one before too
//	cacert.pem       what the server is verified with; may be replaced by a script
//	identity.json    the deployment, the server, the pinned signing keys; written last
//	lock, pid        held by the agent that runs
//	*.json           what else is remembered, each by the package that keeps it
//	*.damaged        what could not be read, put aside
//
// Files get lost and damaged. Without identity.json, key.pem and certificate.pem the agent is nobody: an error names the
// one that is wrong and what helps. cacert.pem can be put right by anybody, agent-ca.pem comes again with the next
// renewal, and everything else can be forgotten (Recall).
//
// The folder is its owner's alone. Files are written beside their place, synced and renamed. A folder with a
// key and without identity.json is an enrolment whose answer never came: the next one goes on with its key
// and device ID, so that a token is not spent twice.
package state

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"enjambre/agent/internal/durable"
	"enjambre/core"
	"enjambre/core/identity"
	"enjambre/core/pemfile"
)

// identityVersion is the form of identity.json. 1: the first.
const identityVersion = 1

// maxFile bounds every file that is read, in bytes.
const maxFile = 1 << 20

// The files of the folder.
const (
	keyFile         = "key.pem"
	deviceFile      = "device"
	certificateFile = "certificate.pem"
	agentCAFile     = "agent-ca.pem"
	authorityFile   = "cacert.pem"
	identityFile    = "identity.json"
)

// ErrNotEnrolled says that the folder belongs to no deployment yet.
var ErrNotEnrolled = errors.New("this agent is not enrolled; run \"enjambre-agent enroll\"")

// A Folder is an open state folder.
type Folder struct{ path string }

// Open opens a state folder, making it if it is missing. One that others could write to is refused: what
// lies there decides what runs as root.
func Open(path string) (*Folder, error) {
	path, err := filepath.Abs(path)
	if err == nil {
		err = os.MkdirAll(path, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	return Find(path)
}

// Find opens a state folder that is there; one that is not is an ErrNotEnrolled that names it. It makes nothing.
func Find(path string) (*Folder, error) {
	path, err := filepath.Abs(path)
	var stat fs.FileInfo
	if err == nil {
		stat, err = os.Stat(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("state folder %s does not exist: %w, or name another folder with --state", path,
			ErrNotEnrolled)
	case err != nil:
		return nil, fmt.Errorf("state folder: %w", err)
	case !stat.IsDir():
		return nil, fmt.Errorf("state folder %s: it is a file", path)
	}
	if err := checkOwner(path); err != nil {
		return nil, err
	}
	return &Folder{path: path}, nil
}

// Enrolment is what an enrolment brings home.
type Enrolment struct {
	Identity    Identity
	Certificate *x509.Certificate
	Authority   *x509.Certificate // the agent CA
	ServerCA    []byte            // PEM
}

// Enrolled keeps an enrolment. The folder is enrolled once this returns, not before.
func (f *Folder) Enrolled(e Enrolment) error {
	e.Identity.Version = identityVersion
	data, err := json.MarshalIndent(e.Identity, "", "  ")
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name string
		data []byte
	}{
		{authorityFile, e.ServerCA}, {agentCAFile, encodeCertificate(e.Authority)},
		{certificateFile, encodeCertificate(e.Certificate)}, {identityFile, append(data, '\n')},
	} {
		if err := f.write(file.name, file.data); err != nil {
			return err
		}
	}
	return nil
}

// Certificate returns the agent's certificate with its key, to be shown to servers.
func (f *Folder) Certificate() (*tls.Certificate, error) {
	key, err := f.Key()
	if err != nil {
		return nil, err
	}
	data, err := f.read(certificateFile)
	if err != nil {
		return nil, damaged(err)
	}
	list, err := pemfile.Certificates(data, f.file(certificateFile))
	if err != nil {
		return nil, damaged(err)
	}
	leaf := list[0]
	if !key.Public().(ed25519.PublicKey).Equal(leaf.PublicKey) {
		return nil, damaged(core.Refuse(core.ClassIdent, "%s is for another key than %s: one of them is another agent's",
			f.file(certificateFile), keyFile))
	}
	if known, err := f.Identity(); err == nil && len(leaf.URIs) == 1 {
		if us := (identity.Member{Deployment: known.Deployment, Device: known.Device}); leaf.URIs[0].String() != us.URI().String() {
			return nil, damaged(core.Refuse(core.ClassIdent, "%s names %s, and %s is of %.200q: one of them is another agent's",
				f.file(identityFile), us.URI(), certificateFile, leaf.URIs[0]))
		}
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// Renewed keeps a new certificate and the authority that signed it. The authority before, if it was another, is kept
// too: other members have certificates of it until they renew theirs. A file that is damaged, or that does not certify
// the certificate before, is not ours: nothing of it is kept.
func (f *Folder) Renewed(certificate, authority *x509.Certificate) error {
	text := encodeCertificate(authority)
	var former []*x509.Certificate
	if f.Certified() == nil {
		former, _ = f.AgentAuthorities() // it was read just now
	}
	for _, one := range former {
		if !one.Equal(authority) {
			text = append(text, encodeCertificate(one)...)
			break
		}
	}
	if err := f.write(agentCAFile, text); err != nil {
		return err
	}
	return f.write(certificateFile, encodeCertificate(certificate))
}

// Authorities returns the certificates that the server is verified with.
func (f *Folder) Authorities() ([]*x509.Certificate, error) {
	all, err := f.certificates(authorityFile)
	if err != nil {
		return nil, fmt.Errorf("the server's authority: %w", err)
	}
	return all, nil
}

// AgentAuthorities returns the authorities that certify members: the agent CA, and the one before it if it was replaced.
func (f *Folder) AgentAuthorities() ([]*x509.Certificate, error) {
	all, err := f.certificates(agentCAFile)
	if err != nil {
		return nil, fmt.Errorf("the agents' authority: %w", err)
	}
	return all, nil
}

// Certified returns why the agent's certificate is not certified by the authorities that are kept for members: with a
// lost or foreign agent-ca.pem it is none, which a renewal of the certificate mends.
func (f *Folder) Certified() error {
	certificate, err := f.Certificate()
	if err != nil {
		return err
	}
	authorities, err := f.AgentAuthorities()
	if err != nil {
		return err
	}
	for _, one := range authorities {
		if one.IsCA && certificate.Leaf.CheckSignatureFrom(one) == nil {
			return nil
		}
	}
	return core.Refuse(core.ClassIdent, "%s has not certified %s: it is that of another deployment", f.file(agentCAFile),
		certificateFile)
}

// certificates reads a file of at least one certificate.
func (f *Folder) certificates(name string) ([]*x509.Certificate, error) {
	data, err := f.read(name)
	if err != nil {
		return nil, err
	}
	return pemfile.Certificates(data, f.file(name))
}

// Trust makes these the certificates that the server is verified with.
func (f *Folder) Trust(authorities []*x509.Certificate) error {
	var text []byte
	for _, one := range authorities {
		text = append(text, encodeCertificate(one)...)
	}
	return f.write(authorityFile, text)
}

// identityFiles are what makes an agent the one it is, in the order in which they are set aside: without the first
// it is not enrolled.
var identityFiles = []string{
	identityFile, keyFile, deviceFile, certificateFile, agentCAFile, "contact.json", "machine.json", "site.json",
}

// SetAside makes the agent forget who it is, so that it can enrol anew; what it has installed is still known. The
// files go to a folder of their own, aside-TIME, whose path is returned.
func (f *Folder) SetAside(now time.Time) (string, error) {
	aside := f.file(now.UTC().Format("aside-20060102-150405"))
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return "", fmt.Errorf("state folder: %w", err)
	}
	for _, name := range identityFiles {
		err := durable.Rename(f.file(name), filepath.Join(aside, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("state folder: %w", err)
		}
	}
	return aside, nil
}

// CAFile returns the file of the authorities that the server is verified with.
func (f *Folder) CAFile() string { return f.file(authorityFile) }

// Path returns the folder's path, or that of something in it.
func (f *Folder) Path(names ...string) string {
	return filepath.Join(append([]string{f.path}, names...)...)
}

func encodeCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func (f *Folder) file(name string) string { return filepath.Join(f.path, name) }

func (f *Folder) read(name string) ([]byte, error) {
	file, err := os.Open(f.file(name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = core.Refuse(core.ClassLimit, "%s is longer than %d bytes", f.file(name), maxFile)
	}
	return data, err
}

// write replaces a file at once, readable by its owner alone.
func (f *Folder) write(name string, data []byte) error { return durable.Write(f.file(name), data) }
