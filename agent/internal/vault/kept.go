package vault

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"enjambre/agent/internal/durable"
	"enjambre/core"
)

// endedFile says that a package is kept, and when it ended, in RFC 3339.
const endedFile = "ended"

const (
	defaultKeepBytes = 20 << 30 // most that kept packages take by default, or
	defaultKeepShare = 10       // one in so many of the file system's bytes, whichever is less
	maxKept          = 256      // packages: each has a file open
	maxEnded         = 64       // bytes of endedFile
)

// readEnded takes over whether the package is kept.
func (p *Package) readEnded() error {
	text, err := readFile(filepath.Join(p.folder, endedFile), maxEnded)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		p.ended, err = time.Parse(time.RFC3339, string(text))
	}
	return err
}

// Keep keeps a package that has ended, for members that want it, until Tidy or another package's need removes it.
func (v *Vault) Keep(id core.PackageID, ended time.Time) error {
	v.changing.Lock()
	defer v.changing.Unlock()
	p := v.packages[id]
	if p == nil {
		return fmt.Errorf("keep package %s: the vault does not have it", id)
	}
	ended = ended.UTC().Truncate(time.Second)
	if err := durable.Write(filepath.Join(p.folder, endedFile), []byte(ended.Format(time.RFC3339))); err != nil {
		return fmt.Errorf("keep package %s: %w", id, err)
	}
	v.set(func() { p.ended = ended })
	return nil
}

// Kept returns when a package ended that is only kept; false for one that is assigned or not there.
func (v *Vault) Kept(id core.PackageID) (time.Time, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.packages[id]
	if p == nil || p.ended.IsZero() {
		return time.Time{}, false
	}
	return p.ended, true
}

// Claim makes a package that is kept one that is assigned again.
func (v *Vault) Claim(id core.PackageID) error {
	v.changing.Lock()
	defer v.changing.Unlock()
	return v.claim(v.packages[id])
}

func (v *Vault) claim(p *Package) error {
	if p == nil || p.ended.IsZero() {
		return nil
	}
	err := os.Remove(filepath.Join(p.folder, endedFile))
	if err == nil {
		err = durable.SyncFolder(p.folder)
	}
	if err == nil {
		v.set(func() { p.ended = time.Time{} })
	}
	return err
}

// Tidy removes kept packages: those that ended longer than age ago, then the ones that ended first, while there are more
// than 256, they take more than they may, or the file system has less than its reserve.
func (v *Vault) Tidy(now time.Time, age time.Duration) error {
	v.changing.Lock()
	defer v.changing.Unlock()
	most, err := v.keepBytes()
	if err != nil {
		return err
	}
	for {
		var kept int64
		count := 0
		for _, p := range v.packages {
			if !p.ended.IsZero() {
				kept += p.size()
				count++
			}
		}
		oldest := v.oldestKept()
		if oldest == nil {
			return nil
		}
		free, err := v.options.Free(v.folder)
		if err != nil {
			return err
		}
		if now.Sub(oldest.ended) < age && count <= maxKept && kept <= most && free >= v.options.Reserve {
			return nil
		}
		if err := v.evict(oldest); err != nil {
			return err
		}
	}
}

// keepBytes returns how much kept packages may take.
func (v *Vault) keepBytes() (int64, error) {
	if v.options.KeepBytes > 0 {
		return v.options.KeepBytes, nil
	}
	size, err := v.options.Size(v.folder)
	if err != nil {
		return 0, err
	}
	return min(defaultKeepBytes, size/defaultKeepShare), nil
}

// oldestKept returns the kept package that ended first; nil when none is kept.
func (v *Vault) oldestKept() *Package {
	var oldest *Package
	for id, p := range v.packages {
		if p.ended.IsZero() {
			continue
		}
		if oldest == nil || p.ended.Before(oldest.ended) || p.ended.Equal(oldest.ended) && id < oldest.sealed.Info.ID {
			oldest = p
		}
	}
	return oldest
}

// evict removes a kept package and tells of it.
func (v *Vault) evict(p *Package) error {
	v.options.Log.Info("package not kept any longer", "package", p.sealed.Info.ID, "ended", p.ended)
	err := v.remove(p.sealed.Info.ID)
	if v.options.Evicted != nil {
		v.options.Evicted(p.sealed.Digest)
	}
	return err
}
