package identity

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"enjambre/core"
)

// The files of the data folder, as paths inside it.
const (
	deploymentFile  = "deployment.json"
	signingKeyFile  = "keys/signing.pem"
	agentCAKeyFile  = "keys/agent-ca.pem"
	agentCACertFile = "keys/agent-ca.crt"
	onlineKeyFile   = "keys/online.pem"
	onlineLockFile  = "keys/online.lock"
	serverFile      = "tls/server.pem"
	nextKeyFile     = "tls/next.key"
	requestFile     = "tls/server.csr"

	nextAuthorityFile = "tls/next-ca.pem"
	nextSelfKeyFile   = "tls/next-ca.key"
	nextHostsFile     = "tls/next-hosts"

	authorityFile = "cacert.pem"
)

// Modes of the files: what holds a key is its owner's alone.
const (
	secretMode fs.FileMode = 0o600
	publicMode fs.FileMode = 0o644
	folderMode fs.FileMode = 0o700
)

// maxFile bounds every file that is read, in bytes.
const maxFile = 1 << 20

// readFile returns what a file holds, at most maxFile bytes of it.
func readFile(name string) (data []byte, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	data, err = io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, core.Refuse(core.ClassLimit, "%s is larger than %d bytes", name, maxFile)
	}
	return data, nil
}

// writeFile replaces a file at once: whoever reads it, even after a crash, finds all of the old bytes
// or all of the new ones. The folder must exist.
func writeFile(name string, data []byte, mode fs.FileMode) error {
	file, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".tmp-*")
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Chmod(mode) // CreateTemp made it 0600, so a secret was never open to others
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = replace(file.Name(), name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", name, err), removeFile(file.Name()))
	}
	return nil
}

// removeFile removes a file; that there is none is success.
func removeFile(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// exists reports whether a name is taken; when the system cannot say, it is.
func exists(name string) bool {
	_, err := os.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}
