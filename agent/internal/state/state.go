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
//
// The folder is its owner's alone. Files are written beside their place, synced and renamed. A folder with a
// key and without identity.json is an enrolment whose answer never came: the next one goes on with its key
// and device ID, so that a token is not spent twice.
package state

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
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
	"strings"
	"time"

	"enjambre/agent/internal/durable"
	"enjambre/core"
	"enjambre/core/seal"
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
	if err := checkOwner(path); err != nil {
		return nil, err
	}
	return &Folder{path: path}, nil
}

// An Identity is what an enrolled agent knows of its deployment.
type Identity struct {
	Version    int           `json:"version"`
	Deployment string        `json:"deployment"`
	Device     core.DeviceID `json:"device"`
	Server     string        `json:"server"`
	Site       core.SiteName `json:"site"`
	Tag        string        `json:"tag,omitempty"`
	Threshold  int           `json:"threshold"`
	Signers    []Signer      `json:"signers"`
}

// A Signer is a pinned signing key.
type Signer struct {
	Owner string `json:"owner"`
	Key   []byte `json:"key"`
}

// Policy returns whose signatures count.
func (i Identity) Policy() seal.Policy {
	policy := seal.Policy{Threshold: i.Threshold}
	for _, signer := range i.Signers {
		policy.Keys = append(policy.Keys, seal.Key{Public: signer.Key, Owner: signer.Owner})
	}
	return policy
}

// Identity returns who the agent is, or ErrNotEnrolled.
func (f *Folder) Identity() (Identity, error) {
	data, err := f.read(identityFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Identity{}, ErrNotEnrolled
	}
	var known Identity
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.DisallowUnknownFields()
		err = decoder.Decode(&known)
	}
	switch {
	case err != nil:
		return Identity{}, fmt.Errorf("%s: %w", f.file(identityFile), err)
	case known.Version != identityVersion:
		return Identity{}, core.Refuse(core.ClassVersion,
			"%s has version %d, this program knows %d: use a newer enjambre-agent", f.file(identityFile),
			known.Version, identityVersion)
	}
	return known, known.Policy().Check()
}

// Key returns the agent's key, made now if there is none.
func (f *Folder) Key() (ed25519.PrivateKey, error) {
	data, err := f.read(keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		_, made, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(made)
		if err != nil {
			return nil, err
		}
		return made, f.write(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, core.Refuse(core.ClassFormat, "%s is damaged: it holds no PEM block", f.file(keyFile))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, core.Refuse(core.ClassFormat, "%s is damaged: %v", f.file(keyFile), err)
	}
	key, isEd25519 := parsed.(ed25519.PrivateKey)
	if !isEd25519 {
		return nil, core.Refuse(core.ClassType, "%s holds a %T, want an Ed25519 key", f.file(keyFile), parsed)
	}
	return key, nil
}

// Device returns the device ID, chosen by choose if there is none yet.
func (f *Folder) Device(choose func() (core.DeviceID, error)) (core.DeviceID, error) {
	data, err := f.read(deviceFile)
	if errors.Is(err, fs.ErrNotExist) {
		device, err := choose()
		if err != nil {
			return "", err
		}
		return device, f.write(deviceFile, []byte(string(device)+"\n"))
	}
	if err != nil {
		return "", err
	}
	return core.ParseDeviceID(strings.TrimSuffix(string(data), "\n"))
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
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, core.Refuse(core.ClassFormat, "%s is damaged: it holds no PEM block", f.file(certificateFile))
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, core.Refuse(core.ClassFormat, "%s is damaged: %v", f.file(certificateFile), err)
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// Renewed keeps a new certificate and the authority that signed it. The authority before, if it was another, is kept
// too: other members have certificates of it until they renew theirs.
func (f *Folder) Renewed(certificate, authority *x509.Certificate) error {
	text := encodeCertificate(authority)
	former, err := f.AgentAuthorities()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
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

// certificates reads a file of at least one certificate.
func (f *Folder) certificates(name string) ([]*x509.Certificate, error) {
	data, err := f.read(name)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		one, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil {
			return nil, core.Refuse(core.ClassFormat, "%s holds something that is no certificate", f.file(name))
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, core.Refuse(core.ClassFormat, "%s holds no certificate in PEM form", f.file(name))
	}
	return all, nil
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

// Load reads a JSON file of the folder, name.json, strictly; one that is missing leaves value as it is.
func (f *Folder) Load(name string, value any) error {
	data, err := f.read(name + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(value); err != nil {
		return fmt.Errorf("%s: %w", f.file(name+".json"), err)
	}
	return nil
}

// Save writes a JSON file of the folder, name.json, at most 1 MiB.
func (f *Folder) Save(name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if len(data) > maxFile {
		return core.Refuse(core.ClassLimit, "%s would have %d bytes: at most %d are allowed", f.file(name+".json"),
			len(data), maxFile)
	}
	return f.write(name+".json", append(data, '\n'))
}

// Publish writes a JSON file of the folder, name.json, for other processes to read. It is replaced at once but not
// synced: after a power loss it may be the one before, or empty.
func (f *Folder) Publish(name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	draft := f.file(durable.TempPrefix + name)
	if err := os.WriteFile(draft, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(draft, f.file(name+".json"))
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
