package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/seal"
)

// deploymentVersion is the newest form of deployment.json that this program reads and the one it
// writes. History: 1, 2026, the first.
const deploymentVersion = 1

// signingOwner is whom the policy names as holder of the key that lies on the server.
const signingOwner = "enjambre-server"

// record is deployment.json.
type record struct {
	Version int       `json:"version"`
	Name    string    `json:"name"`
	Hosts   []string  `json:"hosts"`
	Created time.Time `json:"created"`
}

// A Deployment is what [Load] found in a data folder: the names and keys that do not change while a
// server runs, and methods that read and change the HTTPS certificate, which does.
type Deployment struct {
	dir        string
	record     record
	signer     ed25519.PrivateKey
	agentCA    *x509.Certificate
	agentCAKey ed25519.PrivateKey
}

// Load reads the deployment in the folder dir. It does not look at the HTTPS certificate: see
// [Deployment.ServerCertificate]. A folder without a deployment gives an error that is
// [fs.ErrNotExist]; one made by a newer program is refused with [core.ClassVersion].
func Load(dir string) (*Deployment, error) {
	d := &Deployment{dir: dir}
	data, err := readFile(d.path(deploymentFile))
	switch {
	case errors.Is(err, fs.ErrNotExist) && exists(d.path("keys")):
		return nil, fmt.Errorf("%s is lost, beside the keys of a deployment; %s: %w", d.path(deploymentFile), restore, err)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("folder %s holds no deployment; make one with \"enjambre-server init\": %w", dir,
			err)
	}
	if err == nil {
		d.record, err = parseRecord(data)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d.path(deploymentFile), restored(err))
	}
	for _, secret := range []string{"keys", signingKeyFile, agentCAKeyFile, onlineKeyFile} {
		if err := checkSecret(d.path(secret)); err != nil {
			return nil, err
		}
	}
	if d.signer, err = readOwnKey(d.path(signingKeyFile)); err != nil {
		return nil, restored(err)
	}
	if d.agentCAKey, err = readOwnKey(d.path(agentCAKeyFile)); err != nil {
		return nil, restored(err)
	}
	certificates, err := readCertificates(d.path(agentCACertFile))
	if err != nil {
		return nil, restored(err)
	}
	d.agentCA = certificates[0]
	if d.agentCA.Subject.CommonName != d.record.Name+agentCASuffix {
		return nil, core.Refuse(core.ClassKeys, "%s is of another deployment: its certificate is for %q, this is %q; %s",
			d.path(agentCACertFile), d.agentCA.Subject.CommonName, d.record.Name, restore)
	}
	if len(certificates) != 1 || !d.agentCA.IsCA ||
		!d.agentCAKey.Public().(ed25519.PublicKey).Equal(d.agentCA.PublicKey) {
		return nil, core.Refuse(core.ClassKeys,
			"%s is not the certificate of the key in %s; restore both from a backup", d.path(agentCACertFile),
			d.path(agentCAKeyFile))
	}
	return d, nil
}

// restore is what helps when a file of the deployment is lost or damaged. There is no other way: agents believe these keys
// and no others.
const restore = "restore the last backup of the data folder (manual, \"Keep safe\")"

// restored adds to what is wrong with a file what helps, unless that is another program or another user.
func restored(err error) error {
	if errors.Is(err, fs.ErrPermission) || core.ClassOf(err) == core.ClassVersion {
		return err
	}
	return fmt.Errorf("%w; %s", err, restore)
}

// parseRecord reads deployment.json. The version comes first: what a newer program wrote may break
// every other rule.
func parseRecord(data []byte) (record, error) {
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return record{}, core.Refuse(core.ClassFormat, "%v", err)
	}
	if version.Version > deploymentVersion {
		return record{}, core.Refuse(core.ClassVersion,
			"made by a newer enjambre-server (version %d, this program knows %d)", version.Version,
			deploymentVersion)
	}
	var read record
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&read); err != nil {
		return record{}, core.Refuse(core.ClassFormat, "%v", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return record{}, core.Refuse(core.ClassFormat, "more follows after the object's end")
	}
	hosts, problems := parseHosts(read.Hosts)
	if read.Version != deploymentVersion {
		problems = append(problems,
			core.Refuse(core.ClassField, "version %d: want %d", read.Version, deploymentVersion))
	}
	if read.Created.IsZero() {
		problems = append(problems, core.Refuse(core.ClassField, "created is missing"))
	}
	read.Hosts = hosts
	return read, errors.Join(append(problems, checkName(read.Name))...)
}

// path returns where a file of the deployment is.
func (d *Deployment) path(file string) string { return filepath.Join(d.dir, filepath.FromSlash(file)) }

// Name returns the deployment's name: 1 to 55 of a-z, 0-9, '-', '_' and '.'.
func (d *Deployment) Name() string { return d.record.Name }

// Hosts returns the DNS names and IP addresses by which agents reach the server, in one spelling
// each: names in lower case, IPv6 addresses without brackets.
func (d *Deployment) Hosts() []string { return slices.Clone(d.record.Hosts) }

// Created returns when the deployment was made.
func (d *Deployment) Created() time.Time { return d.record.Created }

// Signer returns the key that seals info files; see [seal.Sign].
func (d *Deployment) Signer() ed25519.PrivateKey { return slices.Clone(d.signer) }

// SigningPolicy returns whose signatures agents demand: the one key on the server.
func (d *Deployment) SigningPolicy() seal.Policy {
	public := d.signer.Public().(ed25519.PublicKey)
	return seal.Policy{Keys: []seal.Key{{Public: public, Owner: signingOwner}}, Threshold: 1}
}

// AgentCA returns the certificate and the key that certify agents. It does not look whether the
// certificate has expired.
func (d *Deployment) AgentCA() (*x509.Certificate, ed25519.PrivateKey) {
	return d.agentCA, slices.Clone(d.agentCAKey)
}

// Authorities returns cacert.pem: the certificates, in PEM, with which agents verify the server. The
// error is [fs.ErrNotExist] before the first certificate is installed.
func (d *Deployment) Authorities() ([]byte, error) {
	certificates, err := readCertificates(d.path(authorityFile))
	return encodeCertificates(certificates), err
}
