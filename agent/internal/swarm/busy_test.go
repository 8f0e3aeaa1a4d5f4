package swarm

import (
	"bytes"
	"os"
	"testing"
	"time"

	"enjambre/agent/internal/vault"
	"enjambre/core"
)

// A slowDisk keeps whoever reads one fragment waiting until it is free.
type slowDisk struct {
	vault.Data
	stuck int64 // offset of that fragment
	begun chan struct{}
	free  chan struct{}
}

func (d *slowDisk) ReadAt(p []byte, at int64) (int, error) {
	if at == d.stuck {
		select {
		case d.begun <- struct{}{}:
			<-d.free
		case <-d.free:
		}
	}
	return d.Data.ReadAt(p, at)
}

// TestHashesAndServes: a member that hashes its whole package before it runs it, on a disk that takes minutes for that, is
// no dead member: neighbours have from it what they ask for.
func TestHashesAndServes(t *testing.T) {
	p := newParcel(t)
	disk := &slowDisk{stuck: 20 * fragmentSize, begun: make(chan struct{}), free: make(chan struct{})}
	a := newMemberOn(t, 1, p, func(path string) (vault.Data, error) {
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		disk.Data = file
		return disk, err
	})
	a.fill(p, allOf(p)...)
	a.start()
	b := newMember(t, 2, p)
	b.start()
	hashed := make(chan error)
	go func() { hashed <- a.pack.Rehash(t.Context()) }()
	<-disk.begun
	given := make(chan error)
	go func() {
		given <- b.Fetch(t.Context(), a.reach(), p.sealed.Digest, 1, fragmentSize, func() {}, func(data []byte) error {
			if !bytes.Equal(data, p.archive[fragmentSize:2*fragmentSize]) {
				t.Error("other bytes")
			}
			return nil
		})
	}()
	select {
	case err := <-given:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("nothing is served while the package is hashed")
	}
	if err := a.pack.Store(core.FragmentIndex(3), p.archive[3*fragmentSize:4*fragmentSize]); err != nil {
		t.Error(err) // what comes twice is no news
	}
	close(disk.free)
	if err := <-hashed; err != nil {
		t.Error(err)
	}
}
