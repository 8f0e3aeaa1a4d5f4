package vault

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"enjambre/core"
)

// A busyDisk lets every read of one fragment, and every sync, wait until it is free.
type busyDisk struct {
	*os.File
	stuck int64         // offset of the reads that wait
	free  chan struct{} // lets one go that waits; closed: nothing waits
	begun chan string   // who waits
}

func (d *busyDisk) ReadAt(p []byte, at int64) (int, error) {
	if at == d.stuck {
		d.wait("read")
	}
	return d.File.ReadAt(p, at)
}

func (d *busyDisk) Sync() error {
	d.wait("sync")
	return d.File.Sync()
}

func (d *busyDisk) wait(what string) {
	select {
	case <-d.free:
		return
	case d.begun <- what:
	}
	<-d.free
}

// onBusyDisk returns options under which every package lies on the disk.
func onBusyDisk(d *busyDisk) Options {
	o := options()
	o.OpenData = func(path string) (Data, error) {
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		d.File = file
		return d, err
	}
	return o
}

func newBusyDisk(stuck int64) *busyDisk {
	return &busyDisk{stuck: stuck, free: make(chan struct{}), begun: make(chan string)}
}

// asked does everything that a neighbour's questions need of a vault.
func asked(t *testing.T, v *Vault, s sample, held int) {
	t.Helper()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		p := v.FindInfo(s.sealed.Digest)
		if p != v.Find(s.sealed.Info.ID) || len(v.IDs()) == 0 || p.Held().Count() != held {
			t.Errorf("%d packages, %d fragments held, want %d", len(v.IDs()), p.Held().Count(), held)
		}
		v.Kept(s.sealed.Info.ID)
		section, err := p.Fragment(1)
		if err != nil {
			t.Error(err)
			return
		}
		if data, err := io.ReadAll(section); err != nil || !bytes.Equal(data, s.fragment(1)) {
			t.Errorf("other bytes, or %v", err)
		}
	}()
	select {
	case <-answered:
	case <-time.After(time.Minute): // only what hangs comes to it
		t.Fatal("whoever asks waits for the disk's own work")
	}
}

// TestBusyDisk: while the disk keeps the vault's own work waiting, neighbours are answered, and their fragments stored.
func TestBusyDisk(t *testing.T) {
	s := newSample(t, 1700000001, 20*fragmentSize)

	t.Run("rehash", func(t *testing.T) {
		disk := newBusyDisk(7 * fragmentSize)
		v := opened(t, t.TempDir(), onBusyDisk(disk))
		p := added(t, v, s)
		var storing sync.WaitGroup
		storing.Go(func() {
			for index := range core.FragmentIndex(20) {
				s.store(t, p, index)
			}
		})
		for range 2 { // the sixteenth and the last are synced
			if what := <-disk.begun; what != "sync" {
				t.Fatal(what)
			}
			disk.free <- struct{}{}
		}
		storing.Wait()
		hashed := make(chan error)
		go func() { hashed <- p.Rehash(t.Context()) }()
		<-disk.begun
		asked(t, v, s, 20)
		close(disk.free)
		if err := <-hashed; err != nil {
			t.Error(err)
		}
	})

	t.Run("sync", func(t *testing.T) {
		disk := newBusyDisk(-1)
		folder := t.TempDir()
		v := opened(t, folder, onBusyDisk(disk))
		p := added(t, v, s)
		s.store(t, p, 0, 1)
		flushed := make(chan error)
		go func() { flushed <- p.Flush() }()
		<-disk.begun
		asked(t, v, s, 2)
		s.store(t, p, 2) // comes while the others are recorded
		asked(t, v, s, 3)
		close(disk.free)
		if err := <-flushed; err != nil {
			t.Fatal(err)
		}
		if records := recorded(t, folder); records != 2 {
			t.Errorf("%d records; the third fragment was not synced yet", records)
		}
		if err := p.Flush(); err != nil || recorded(t, folder) != 3 {
			t.Errorf("%d records, %v", recorded(t, folder), err)
		}
	})

	t.Run("another package comes and goes", func(t *testing.T) {
		var measured, measure = make(chan struct{}), make(chan struct{})
		o := options()
		o.Free = func(string) (int64, error) { return 1 << 40, nil }
		v := opened(t, t.TempDir(), o)
		p := added(t, v, s)
		s.store(t, p, 0, 1)
		v.options.Free = func(string) (int64, error) { close(measured); <-measure; return 1 << 40, nil }
		second := newSample(t, 1700000002, fragmentSize)
		adding := make(chan error)
		go func() { _, err := v.Add(second.sealed, second.digests.Bytes()); adding <- err }()
		<-measured
		asked(t, v, s, 2)
		close(measure)
		if err := <-adding; err != nil || v.Find(1700000002) == nil {
			t.Error(err)
		}
	})
}

// recorded returns how many fragments of the sample are recorded on the disk.
func recorded(t *testing.T, folder string) int {
	t.Helper()
	stat, err := os.Stat(filepath.Join(folder, "1700000001", haveFile))
	if err != nil {
		t.Fatal(err)
	}
	return int(stat.Size() / recordSize)
}

// TestDropWhileStored: what has changed on the disk is dropped while fragments come that were missing; a stop after it
// loses neither.
func TestDropWhileStored(t *testing.T) {
	folder := t.TempDir()
	s := newSample(t, 1700000001, 20*fragmentSize)
	v := opened(t, folder, options())
	p := added(t, v, s)
	s.store(t, p, 0, 1, 2, 3)
	var both sync.WaitGroup
	both.Go(func() {
		if err := p.drop([]core.FragmentIndex{1, 3}); err != nil {
			t.Error(err)
		}
	})
	both.Go(func() { s.store(t, p, 4, 5, 6) })
	both.Wait()
	held := p.Held()
	if err := errors.Join(p.Flush(), v.Close()); err != nil {
		t.Fatal(err)
	}
	after := opened(t, folder, options()).Find(1700000001).Held()
	if held.Count() != 5 || held.Has(1) || held.Has(3) || !bytes.Equal(held.Bytes(), after.Bytes()) {
		t.Errorf("held %x, after a stop %x", held.Bytes(), after.Bytes())
	}
}
