// Package vault keeps packages on an agent's disk: their sealed info files and the fragments it has verified.
//
//	ID/info.dsse  the sealed info file, as it was verified
//	ID/digests    the digest of each fragment; only with an archive, as the next two
//	ID/data       the archive, allocated whole before the first fragment; fragment n at n times its size
//	ID/have       which fragments data holds, 12 bytes each, appended
//	ID/ended      when it ended: it is only kept, for other members
//	open          the vault is in use, or was when the computer stopped
//
// # Crash safety
//
// A fragment is hashed before it is written. Every 16 fragments, or when [Package.Flush] is called, data is
// synced, then their records are appended to have, then have is synced: never the other way round. So a crash
// loses at most 16 fragments of download, and those that came while the disk was busy with them. have is a cache all the same: after an unclean stop the newest records
// and a sample of the others are checked against the data, and nothing is ever run from it without
// [Package.Rehash].
//
// A record of have is the fragment's index, uint32 big-endian, the first four bytes of its digest, and the CRC-32C of
// these eight bytes, uint32 big-endian. Nothing reads the part of the digest, which is there for people; older records
// have the CRC-32C of the fragment in its place. Reading stops at the first record that does not hold.
//
// # Bounds
//
// The vault never takes more than its quota, nor the file system's last reserve; room is made by dropping packages that
// are only kept, those first that ended first, and never one that is assigned. What is kept has a quota of its own.
package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"enjambre/agent/internal/durable"
	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/info"
	"enjambre/core/seal"
)

// The files.
const (
	infoFile    = "info.dsse"
	digestsFile = "digests"
	dataFile    = "data"
	haveFile    = "have"
	openFile    = "open"
)

// MaxDigests is the size of the longest digests file, in bytes.
const MaxDigests = core.MaxFragments * len(core.Digest{})

// ErrNoSpace says that the disk, or what the vault may use of it, has no room for a package. It can pass.
var ErrNoSpace = errors.New("no space for the package")

// Options say how a vault is kept. Policy, Deployment and Log are required.
type Options struct {
	Policy     seal.Policy // whose seals are believed
	Deployment string      // whose packages are taken
	Log        *slog.Logger
	MaxBytes   int64                       // of all archives together; default 20 GiB
	Reserve    int64                       // bytes that stay free on the file system; default 1 GiB
	Free       func(string) (int64, error) // bytes free for a folder; default: the file system's answer
	Size       func(string) (int64, error) // of the file system of a folder, in bytes; default: its answer
	KeepBytes  int64                       // of all kept packages; default 20 GiB or a tenth of the file system
	Evicted    func(core.Digest)           // is told of kept packages that are removed; it must not call the vault

	// OpenData opens a file of fragments to read and write; by default the file system does.
	OpenData func(path string) (Data, error)
}

const (
	defaultMaxBytes = 20 << 30
	defaultReserve  = 1 << 30
)

func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.Reserve == 0 {
		o.Reserve = defaultReserve
	}
	if o.Free == nil {
		o.Free = freeBytes
	}
	if o.Size == nil {
		o.Size = sizeBytes
	}
	if o.OpenData == nil {
		o.OpenData = func(path string) (Data, error) { return os.OpenFile(path, os.O_RDWR, 0) }
	}
	return o
}

// A Vault is an open vault. Safe for concurrent use; each Package too.
//
// To allocate or remove a package of some GiB takes seconds. Two mutexes keep those who only look from waiting for that:
// changing is held by one after the other who changes what the vault has, mu only for a moment to look or to set. What
// mu guards is set with both held, and read with either.
type Vault struct {
	folder  string
	options Options

	changing sync.Mutex // before mu

	mu       sync.Mutex // not held over I/O
	packages map[core.PackageID]*Package
}

// Open opens the vault in a folder, made if it is missing. A package whose files cannot be believed is removed,
// with a warning in the log: it can be fetched again.
func Open(folder string, options Options) (*Vault, error) {
	v := &Vault{folder: folder, options: options.withDefaults(), packages: map[core.PackageID]*Package{}}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	_, err := os.Stat(v.file(openFile))
	wasOpen := err == nil
	if err := durable.Write(v.file(openFile), nil); err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if err := v.load(entry.Name(), wasOpen); err != nil {
			v.options.Log.Warn("package removed from the vault", "package", entry.Name(), "reason", err)
			if err := os.RemoveAll(v.file(entry.Name())); err != nil {
				return nil, fmt.Errorf("vault: %w", err)
			}
		}
	}
	return v, durable.RemoveTemps(folder)
}

// load opens one package's folder.
func (v *Vault) load(name string, wasOpen bool) error {
	id, err := core.ParsePackageID(name)
	if err != nil {
		return err // a folder that was being made
	}
	envelope, err := readFile(v.file(name, infoFile), seal.MaxEnvelope)
	if err != nil {
		return err
	}
	sealed, err := Unseal(envelope, v.options.Policy, v.options.Deployment)
	if err != nil {
		return err
	}
	if sealed.Info.ID != id {
		return core.Refuse(core.ClassHash, "the folder holds package %s", sealed.Info.ID)
	}
	p := &Package{folder: v.file(name), sealed: sealed}
	if err := errors.Join(p.readEnded(), p.open(v.options.OpenData, wasOpen)); err != nil {
		return errors.Join(err, p.close())
	}
	v.packages[id] = p
	return nil
}

// Close flushes and closes all packages.
func (v *Vault) Close() error {
	v.changing.Lock()
	defer v.changing.Unlock()
	var err error
	for _, p := range v.packages {
		err = errors.Join(err, p.Flush(), p.close())
	}
	v.set(func() { v.packages = nil })
	if err != nil {
		return err // the mark stays, so that the next start looks closely
	}
	return os.Remove(v.file(openFile))
}

// set changes what mu guards. The caller is changing.
func (v *Vault) set(change func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change()
}

// Find returns a package, or nil if the vault does not have it.
func (v *Vault) Find(id core.PackageID) *Package {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.packages[id]
}

// FindInfo returns the package whose info file has this digest, or nil.
func (v *Vault) FindInfo(digest core.Digest) *Package {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range v.packages {
		if p.sealed.Digest == digest {
			return p
		}
	}
	return nil
}

// IDs returns the packages of the vault, in order.
func (v *Vault) IDs() []core.PackageID {
	v.mu.Lock()
	defer v.mu.Unlock()
	ids := make([]core.PackageID, 0, len(v.packages))
	for id := range v.packages {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Add takes a package in, with its digests file if it has an archive, and allocates the archive's room. Kept packages are
// removed to make room, those first that ended first; one that is kept itself is claimed. ErrNoSpace says that there is no
// room.
func (v *Vault) Add(sealed Sealed, digests []byte) (*Package, error) {
	id := sealed.Info.ID
	v.changing.Lock()
	defer v.changing.Unlock()
	if known := v.packages[id]; known != nil {
		if known.sealed.Digest != sealed.Digest {
			return nil, core.Refuse(core.ClassHash, "package %s: its info file has changed, which one never does", id)
		}
		return known, v.claim(known)
	}
	if archive := sealed.Info.Archive; archive != nil {
		if _, err := fragment.ParseDigests(digests, archive.Plan, archive.Digests); err != nil {
			return nil, err
		}
		if err := v.makeRoom(archive.Plan.ArchiveSize()); err != nil {
			return nil, fmt.Errorf("package %s: %w", id, err)
		}
	}
	p, err := v.create(sealed, digests)
	if err != nil {
		return nil, fmt.Errorf("package %s: %w", id, asNoSpace(err))
	}
	v.set(func() { v.packages[id] = p })
	return p, nil
}

// create makes the package's folder under a passing name and opens it under its own.
func (v *Vault) create(sealed Sealed, digests []byte) (p *Package, err error) {
	draft, err := os.MkdirTemp(v.folder, durable.TempPrefix)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(draft))
		}
	}()
	if err := durable.Write(filepath.Join(draft, infoFile), sealed.Envelope); err != nil {
		return nil, err
	}
	if archive := sealed.Info.Archive; archive != nil {
		if err := durable.Write(filepath.Join(draft, digestsFile), digests); err != nil {
			return nil, err
		}
		if err := durable.Write(filepath.Join(draft, haveFile), nil); err != nil {
			return nil, err
		}
		if err := allocate(filepath.Join(draft, dataFile), archive.Plan.ArchiveSize()); err != nil {
			return nil, err
		}
	}
	folder := v.file(sealed.Info.ID.String())
	if err := durable.Rename(draft, folder); err != nil {
		return nil, err
	}
	p = &Package{folder: folder, sealed: sealed}
	if err := p.open(v.options.OpenData, false); err != nil {
		return nil, errors.Join(err, p.close(), os.RemoveAll(folder))
	}
	return p, nil
}

// makeRoom drops kept packages until size bytes fit into the quota and the file system.
func (v *Vault) makeRoom(size int64) error {
	if size > v.options.MaxBytes {
		return fmt.Errorf("%w: it has %d bytes, the vault may have %d", ErrNoSpace, size, v.options.MaxBytes)
	}
	for {
		var used int64
		for _, p := range v.packages {
			used += p.size()
		}
		oldest := v.oldestKept()
		free, err := v.options.Free(v.folder)
		if err != nil {
			return err
		}
		switch {
		case used+size <= v.options.MaxBytes && free-size >= v.options.Reserve:
			return nil
		case oldest == nil && used+size > v.options.MaxBytes:
			return fmt.Errorf("%w: it has %d bytes, and unfinished ones take %d of the %d that the vault may have",
				ErrNoSpace, size, used, v.options.MaxBytes)
		case oldest == nil:
			return fmt.Errorf("%w: it has %d bytes; %d are free, of which %d must stay free", ErrNoSpace, size, free,
				v.options.Reserve)
		}
		if err := v.evict(oldest); err != nil {
			return err
		}
	}
}

// Remove drops a package; one that the vault does not have is no error.
func (v *Vault) Remove(id core.PackageID) error {
	v.changing.Lock()
	defer v.changing.Unlock()
	return v.remove(id)
}

func (v *Vault) remove(id core.PackageID) error {
	p := v.packages[id]
	if p == nil {
		return nil
	}
	v.set(func() { delete(v.packages, id) })
	return errors.Join(p.close(), os.RemoveAll(p.folder))
}

func (v *Vault) file(names ...string) string {
	return filepath.Join(append([]string{v.folder}, names...)...)
}

// A Sealed is an info file whose seal was verified.
type Sealed struct {
	Envelope []byte
	Info     *info.Info
	Digest   core.Digest // of the canonical text
}

// Unseal verifies an envelope, then reads exactly what was signed. Refusals are those of [seal.Policy.Verify]
// and [info.Parse], and E_IDENT for a package of another deployment.
func Unseal(envelope []byte, policy seal.Policy, deployment string) (Sealed, error) {
	text, err := policy.Verify(envelope, seal.InfoType)
	if err != nil {
		return Sealed{}, err
	}
	parsed, err := info.Parse(text)
	if err != nil {
		return Sealed{}, err
	}
	if parsed.Deployment != deployment {
		return Sealed{}, core.Refuse(core.ClassIdent, "the package is of deployment %q, this computer of %q",
			parsed.Deployment, deployment)
	}
	return Sealed{Envelope: bytes.Clone(envelope), Info: parsed, Digest: core.DigestOf(text)}, nil
}

// readFile reads a file of at most so many bytes.
func readFile(path string, most int) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, int64(most)+1))
	if err == nil && len(data) > most {
		err = core.Refuse(core.ClassLimit, "%s is longer than %d bytes", path, most)
	}
	return data, err
}
