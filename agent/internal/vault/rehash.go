package vault

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"

	"enjambre/agent/internal/durable"
	"enjambre/core"
	"enjambre/core/fragment"
)

// Rehash reads the whole archive and returns nil if every byte is what was signed. Otherwise the wrong fragments
// are dropped, so that they are missing again, and the error has class E_HASH. Neighbours are served meanwhile.
func (p *Package) Rehash(ctx context.Context) error {
	if p.data == nil {
		return nil
	}
	held := p.Held()
	if missing := held.Size() - held.Count(); missing > 0 {
		return core.Refuse(core.ClassHash, "%d fragments are missing", missing)
	}
	sum, wrong, err := p.hash(ctx, held)
	if err != nil {
		return err
	}
	if len(wrong) > 0 {
		if err := p.drop(wrong); err != nil {
			return err
		}
		return core.Refuse(core.ClassHash, "%d of %d fragments on the disk have changed", len(wrong), held.Size())
	}
	if sum != p.sealed.Info.Archive.Digest {
		return core.Refuse(core.ClassHash, "the archive's digest is %s, signed is %s; its fragments are as signed", sum,
			p.sealed.Info.Archive.Digest)
	}
	return nil
}

// hash reads the whole archive, and tells its digest and which of the held fragments are not what was signed.
func (p *Package) hash(ctx context.Context, held *fragment.Set) (whole core.Digest, wrong []core.FragmentIndex, err error) {
	sum := sha256.New()
	buffer := make([]byte, p.plan.FragmentSize())
	for index := range core.FragmentIndex(p.plan.Count()) {
		if err := ctx.Err(); err != nil {
			return core.Digest{}, nil, err
		}
		part := buffer[:p.plan.Size(index)]
		if _, err := p.data.ReadAt(part, p.plan.Offset(index)); err != nil {
			return core.Digest{}, nil, fmt.Errorf("read fragment %d: %w", index, err)
		}
		sum.Write(part)
		if held.Has(index) && p.digests.Verify(index, part, p.plan) != nil {
			wrong = append(wrong, index)
		}
	}
	return core.Digest(sum.Sum(nil)), wrong, nil
}

// drop forgets fragments, at once for those who ask, then on the disk. A crash between leaves records of bytes that
// are not there, which is what have may always do.
func (p *Package) drop(wrong []core.FragmentIndex) error {
	if len(wrong) == 0 {
		return nil
	}
	p.recording.Lock()
	defer p.recording.Unlock()
	records := p.without(wrong)
	err := p.data.Sync() // some of what is left may only have waited
	if err == nil {
		err = p.rewrite(records)
	}
	if err != nil {
		return p.recorded(0, err)
	}
	return nil
}

// without forgets fragments and returns the records of all others, of which none waits any more.
func (p *Package) without(wrong []core.FragmentIndex) (records []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, index := range wrong {
		p.held.Remove(index)
	}
	for index := range core.FragmentIndex(p.held.Size()) {
		if p.held.Has(index) {
			records = appendRecord(records, index, p.digests[index])
		}
	}
	p.waiting = nil
	return records
}

// rewrite makes have hold these records and no others.
func (p *Package) rewrite(records []byte) error {
	path := filepath.Join(p.folder, haveFile)
	err := durable.Write(path, records)
	if err == nil {
		err = p.have.Close()
	}
	if err == nil {
		p.have, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err == nil {
		p.records = int64(len(records) / recordSize)
	}
	return err
}
