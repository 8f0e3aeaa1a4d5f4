package vault

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"enjambre/agent/internal/failpoint"
	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/info"
)

const (
	recordSize   = 12
	batch        = 16  // fragments that wait to be recorded
	newestRecord = 256 // that are checked after an unclean stop
	sampleEvery  = 100 // of the others: one in so many
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Data is an open file of fragments. Its methods may be called by several goroutines at once, as those of [os.File].
type Data interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
	Stat() (os.FileInfo, error)
}

// A Package is one package of a vault.
//
// Neighbours ask what it holds while the disk is busy with its own work, so mu is never held over I/O: a member that is
// silent for ten seconds is taken for dead, however good its reason.
type Package struct {
	folder  string
	sealed  Sealed
	ended   time.Time // zero: it is assigned; else it is only kept. Guarded by the vault's mutexes
	plan    fragment.Plan
	digests fragment.Digests
	data    Data // nil without archive

	recording sync.Mutex // held while records are written, by one after the other; before mu
	have      *os.File
	records   int64

	mu      sync.Mutex
	held    *fragment.Set // those recorded and those waiting
	waiting []byte        // records not yet in have; what they say is written
	broken  error         // a failed sync; nothing is believed after it
}

// Info returns the package's info. It must not be changed.
func (p *Package) Info() *info.Info { return p.sealed.Info }

// InfoDigest returns the digest of the info file's canonical text.
func (p *Package) InfoDigest() core.Digest { return p.sealed.Digest }

func (p *Package) size() int64 {
	if p.sealed.Info.Archive == nil {
		return 0
	}
	return p.sealed.Info.Archive.Plan.ArchiveSize()
}

// open opens the files. After an unclean stop it looks closely at what they say.
func (p *Package) open(openData func(string) (Data, error), wasOpen bool) (err error) {
	archive := p.sealed.Info.Archive
	if archive == nil {
		p.held = fragment.NewSet(0)
		return nil
	}
	p.plan = archive.Plan
	p.held = fragment.NewSet(p.plan.Count())
	digests, err := readFile(filepath.Join(p.folder, digestsFile), MaxDigests)
	if err != nil {
		return err
	}
	if p.digests, err = fragment.ParseDigests(digests, p.plan, archive.Digests); err != nil {
		return err
	}
	if p.data, err = openData(filepath.Join(p.folder, dataFile)); err != nil {
		return err
	}
	stat, err := p.data.Stat()
	if err != nil {
		return err
	}
	if stat.Size() != p.plan.ArchiveSize() {
		return core.Refuse(core.ClassFormat, "data has %d bytes, want %d", stat.Size(), p.plan.ArchiveSize())
	}
	if p.have, err = os.OpenFile(filepath.Join(p.folder, haveFile), os.O_RDWR, 0); err != nil {
		return err
	}
	indexes, err := p.readHave()
	if err == nil && wasOpen {
		err = p.check(indexes)
	}
	return err
}

// readHave takes over the records of have and cuts off what does not hold.
func (p *Package) readHave() ([]core.FragmentIndex, error) {
	text, err := io.ReadAll(io.LimitReader(p.have, 4*core.MaxFragments*recordSize))
	if err != nil {
		return nil, err
	}
	indexes := parseHave(text, p.held)
	p.records = int64(len(indexes))
	if int64(len(text)) == p.records*recordSize {
		return indexes, nil
	}
	return indexes, p.have.Truncate(p.records * recordSize)
}

// parseHave adds to held what the records say, up to the first that does not hold.
func parseHave(text []byte, held *fragment.Set) []core.FragmentIndex {
	var indexes []core.FragmentIndex
	for len(text) >= recordSize {
		record := text[:recordSize]
		index := binary.BigEndian.Uint32(record)
		isWhole := crc32.Checksum(record[:8], castagnoli) == binary.BigEndian.Uint32(record[8:])
		if !isWhole || int(index) >= held.Size() {
			break
		}
		held.Add(core.FragmentIndex(index))
		indexes = append(indexes, core.FragmentIndex(index))
		text = text[recordSize:]
	}
	return indexes
}

// appendRecord appends the record of a fragment.
func appendRecord(to []byte, index core.FragmentIndex, digest core.Digest) []byte {
	begin := len(to)
	to = binary.BigEndian.AppendUint32(to, uint32(index))
	to = append(to, digest[:4]...)
	return binary.BigEndian.AppendUint32(to, crc32.Checksum(to[begin:], castagnoli))
}

// check hashes the newest fragments and a sample of the others, and all of them if one is wrong.
func (p *Package) check(indexes []core.FragmentIndex) error {
	for i, index := range indexes {
		if len(indexes)-i > newestRecord && i%sampleEvery != 0 {
			continue
		}
		switch holds, err := p.holds(index); {
		case err != nil:
			return err
		case !holds:
			_, wrong, err := p.hash(context.Background(), p.held)
			if err != nil {
				return err
			}
			return p.drop(wrong)
		}
	}
	return nil
}

// holds reports whether data has the fragment's bytes.
func (p *Package) holds(index core.FragmentIndex) (bool, error) {
	buffer := make([]byte, p.plan.Size(index))
	if _, err := p.data.ReadAt(buffer, p.plan.Offset(index)); err != nil {
		return false, err
	}
	return p.digests.Verify(index, buffer, p.plan) == nil, nil
}

// Missing returns how many fragments are missing.
func (p *Package) Missing() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held.Size() - p.held.Count()
}

// Held returns which fragments are there. The set is the caller's.
func (p *Package) Held() *fragment.Set {
	p.mu.Lock()
	defer p.mu.Unlock()
	held, err := fragment.ParseSet(p.held.Bytes(), p.held.Size())
	if err != nil {
		panic(fmt.Sprintf("vault: a set of %d fragments does not survive its own spelling: %v", p.held.Size(), err))
	}
	return held
}

// Store verifies a fragment and keeps it. E_HASH says that it is not this fragment; ErrNoSpace and any other
// error that the disk has trouble.
func (p *Package) Store(index core.FragmentIndex, fragment []byte) error {
	if err := p.digests.Verify(index, fragment, p.plan); err != nil {
		return err
	}
	if lacks, err := p.lacks(index); !lacks {
		return err
	}
	// Two that store one fragment at once write the same bytes.
	if _, err := p.data.WriteAt(fragment, p.plan.Offset(index)); err != nil {
		return asNoSpace(fmt.Errorf("store fragment %d: %w", index, err))
	}
	if !p.add(index) {
		return nil
	}
	if err := p.record(batch); !errors.Is(err, errNotRecorded) {
		return err
	}
	return nil // it is there; only a crash would forget it
}

// lacks reports whether a fragment is to be written.
func (p *Package) lacks(index core.FragmentIndex) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken == nil && !p.held.Has(index), p.broken
}

// add notes that a fragment's bytes were written, and reports whether it is time to record what waits.
func (p *Package) add(index core.FragmentIndex) (isDue bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held.Add(index) {
		p.waiting = appendRecord(p.waiting, index, p.digests[index])
	}
	return p.due(batch)
}

// due reports whether so many records wait, or the last ones. The caller holds mu.
func (p *Package) due(least int) bool { return len(p.waiting) >= least*recordSize || p.held.Full() }

// errNotRecorded says that the disk has no room for the records of fragments, which wait on: nothing is lost.
var errNotRecorded = errors.New("not recorded")

// Flush makes what was stored durable. It should be called within a second of a Store.
func (p *Package) Flush() error { return p.record(1) }

// record makes what was stored durable, if at least so many records wait, or the last ones. Who comes while others
// do so waits for them, and mostly finds nothing left to do.
func (p *Package) record(least int) error {
	p.recording.Lock()
	defer p.recording.Unlock()
	waiting, err := p.toRecord(least)
	if err != nil || len(waiting) == 0 {
		return err
	}
	if err = p.data.Sync(); err == nil {
		failpoint.Hit("vault.after_data")
		_, err = p.have.WriteAt(waiting, p.records*recordSize)
		if err := asNoSpace(err); errors.Is(err, ErrNoSpace) { // part of them may be there; the next time writes over it
			return fmt.Errorf("package %s: %w: %w", p.sealed.Info.ID, errNotRecorded, err)
		}
	}
	if err == nil {
		err = p.have.Sync()
	}
	if err == nil {
		failpoint.Hit("vault.after_have")
		p.records += int64(len(waiting) / recordSize)
	}
	return p.recorded(len(waiting), err)
}

// toRecord returns the records that are to be written now.
func (p *Package) toRecord(least int) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken != nil || !p.due(least) {
		return nil, p.broken
	}
	return bytes.Clone(p.waiting), nil
}

// recorded forgets the first records that waited, or that the package can be believed.
func (p *Package) recorded(length int, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.broken = asNoSpace(fmt.Errorf("sync package %s: %w", p.sealed.Info.ID, err))
		return p.broken
	}
	p.waiting = p.waiting[:copy(p.waiting, p.waiting[length:])]
	return nil
}

// Archive returns the archive's bytes and their number. They are worth what [Package.Rehash] said last.
func (p *Package) Archive() (io.ReaderAt, int64) { return p.data, p.size() }

func (p *Package) close() error {
	p.recording.Lock()
	defer p.recording.Unlock()
	var err error
	if p.data != nil {
		err = p.data.Close()
	}
	if p.have != nil {
		err = errors.Join(err, p.have.Close())
	}
	return err
}

// Envelope returns the sealed info file. It must not be changed.
func (p *Package) Envelope() []byte { return p.sealed.Envelope }

// Digests returns the digests of the fragments; none without archive. They must not be changed.
func (p *Package) Digests() fragment.Digests { return p.digests }

// ErrNotHeld says that a fragment is not there.
var ErrNotHeld = errors.New("the fragment is not held")

// Fragment returns the bytes of a fragment that is held, for a neighbour that verifies them as we did. Reading them fails
// once the package is removed.
func (p *Package) Fragment(index core.FragmentIndex) (*io.SectionReader, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.held.Has(index) {
		return nil, ErrNotHeld
	}
	return io.NewSectionReader(p.data, p.plan.Offset(index), p.plan.Size(index)), nil
}
