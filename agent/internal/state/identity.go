package state

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"enjambre/core"
	"enjambre/core/pemfile"
	"enjambre/core/seal"
)

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

// RestoreOrEnrol is what helps when a file is lost or damaged that makes the agent the one it is. Neither way loses
// the ledger, which says what is installed.
const RestoreOrEnrol = "put it back from a backup, or stop the service and run \"enjambre-agent enroll --anew\", " +
	"which keeps what is known to be installed"

// damaged adds to what is wrong with a file of the identity what helps.
func damaged(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w; %s", err, RestoreOrEnrol)
}

// Identity returns who the agent is, or ErrNotEnrolled.
func (f *Folder) Identity() (Identity, error) {
	data, err := f.read(identityFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Identity{}, f.notEnrolled()
	}
	if err != nil {
		return Identity{}, damaged(err)
	}
	var form struct{ Version int }
	if json.Unmarshal(data, &form) == nil && form.Version > identityVersion { // which may have fields unknown here
		return Identity{}, core.Refuse(core.ClassVersion,
			"%s has version %d, this program knows %d: use a newer enjambre-agent", f.file(identityFile),
			form.Version, identityVersion)
	}
	var known Identity
	if err := decode(data, &known); err != nil {
		return Identity{}, damaged(core.Refuse(core.ClassFormat, "%s is damaged: %v", f.file(identityFile), err))
	}
	if err := known.check(); err != nil {
		return Identity{}, damaged(fmt.Errorf("%s is damaged: %w", f.file(identityFile), err))
	}
	return known, nil
}

// check refuses what no enrolment has written.
func (i Identity) check() error {
	if i.Version < 1 || i.Deployment == "" || i.Server == "" {
		return core.Refuse(core.ClassField, "it names no deployment, or no server")
	}
	if _, err := core.ParseDeviceID(string(i.Device)); err != nil {
		return err
	}
	return i.Policy().Check()
}

// notEnrolled is the error of a folder without identity.json. Where that is missing from the others, it says so.
func (f *Folder) notEnrolled() error {
	if _, err := os.Stat(f.file(certificateFile)); err == nil {
		return fmt.Errorf("state folder %s: %w, which goes on with its key; %s is missing beside %s: if there is a "+
			"backup of it, put it back instead", f.path, ErrNotEnrolled, identityFile, certificateFile)
	}
	return fmt.Errorf("state folder %s: %w", f.path, ErrNotEnrolled)
}

// Key returns the agent's key. Before the enrolment it is made now if there is none; a damaged one is then replaced,
// as nobody has certified it. Afterwards it is never made anew: no certificate is for another.
func (f *Folder) Key() (ed25519.PrivateKey, error) {
	key, err := f.readKey()
	if err == nil || errors.Is(err, fs.ErrPermission) {
		return key, err
	}
	for _, file := range []string{identityFile, certificateFile} {
		if _, statErr := os.Lstat(f.file(file)); !errors.Is(statErr, fs.ErrNotExist) {
			return nil, damaged(err)
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		if err := f.putAside(keyFile); err != nil {
			return nil, err
		}
	}
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

func (f *Folder) readKey() (ed25519.PrivateKey, error) {
	data, err := f.read(keyFile)
	if err != nil {
		return nil, err
	}
	blocks, err := pemfile.Blocks(data, f.file(keyFile))
	if err != nil {
		return nil, err
	}
	if len(blocks) == 0 {
		return nil, core.Refuse(core.ClassFormat, "%s is damaged: it holds no PEM block", f.file(keyFile))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(blocks[0].Bytes)
	if err != nil {
		return nil, core.Refuse(core.ClassFormat, "%s is damaged: %v", f.file(keyFile), err)
	}
	key, isEd25519 := parsed.(ed25519.PrivateKey)
	if !isEd25519 {
		return nil, core.Refuse(core.ClassType, "%s holds a %T, want an Ed25519 key", f.file(keyFile), parsed)
	}
	return key, nil
}

// Device returns the device ID, chosen by choose if there is none yet, or none that can be read: before the enrolment
// nothing depends on it, and afterwards it stands in the identity.
func (f *Folder) Device(choose func() (core.DeviceID, error)) (core.DeviceID, error) {
	data, err := f.read(deviceFile)
	if err == nil {
		device, err := core.ParseDeviceID(strings.TrimSuffix(string(data), "\n"))
		if err == nil {
			return device, nil
		}
	} else if errors.Is(err, fs.ErrPermission) {
		return "", err
	}
	device, err := choose()
	if err != nil {
		return "", err
	}
	return device, f.write(deviceFile, []byte(string(device)+"\n"))
}
