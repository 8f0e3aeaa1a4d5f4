package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/peer/ticket"
)

// onlineAt returns what a server that looks for the first time at a time hands out.
func onlineAt(t *testing.T, d *Deployment, at time.Time) (ed25519.PublicKey, [][]byte) {
	t.Helper()
	r := NewOnlineReader(d, func(err error) { t.Error(err) })
	r.now = func() time.Time { return at }
	key, public := r.Current()
	return key.Public().(ed25519.PublicKey), public
}

// TestOnlineKey: a new deployment has one; its successor is handed out first and signs a day later, and the former
// one goes when its last ticket has expired.
func TestOnlineKey(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}})
	first, public := onlineAt(t, d, now)
	if len(public) != 1 || !bytes.Equal(public[0], first) {
		t.Fatalf("of a new deployment: %x signs, %x are handed out", first, public)
	}
	second, signs, err := d.RotateOnline(t.Context(), now)
	check(t, err)
	if !signs.Equal(now.Add(OnlineLead)) {
		t.Errorf("the new key signs from %v", signs)
	}
	for _, one := range []struct {
		after time.Duration
		signs ed25519.PublicKey
		keys  int
	}{
		{0, first, 2},
		{OnlineLead - time.Second, first, 2},
		{OnlineLead, second, 2},
		{OnlineLead + ticket.Lifetime - time.Second, second, 2},
		{OnlineLead + ticket.Lifetime, second, 1},
		{-48 * time.Hour, first, 2}, // a clock that was set back
	} {
		signs, public := onlineAt(t, d, now.Add(one.after))
		if !signs.Equal(one.signs) || len(public) != one.keys || !bytes.Equal(public[0], second) {
			t.Errorf("after %v: %x signs, %x are handed out", one.after, signs, public)
		}
	}
	if made, err := d.EnsureOnline(t.Context(), now.Add(time.Hour)); err != nil || made {
		t.Errorf("ensured: made %v, %v", made, err)
	}
	if keys, err := d.readOnline(); err != nil || len(keys) != 2 {
		t.Errorf("a key of use was forgotten: %d, %v", len(keys), err)
	}
	if made, err := d.EnsureOnline(t.Context(), now.Add(72*time.Hour)); err != nil || made {
		t.Errorf("ensured later: made %v, %v", made, err)
	}
	if keys, err := d.readOnline(); err != nil || len(keys) != 1 {
		t.Errorf("a key of no use is kept: %d, %v", len(keys), err)
	}
}

// TestOnlineKeyOfOldFolder: of all that start on a folder without online key at once, one makes it.
func TestOnlineKeyOfOldFolder(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}})
	check(t, os.Remove(d.path(onlineKeyFile)))
	var told []error
	r := NewOnlineReader(d, func(err error) { told = append(told, err) })
	if key, public := r.Current(); key != nil || public != nil || len(told) != 1 || !errors.Is(told[0], fs.ErrNotExist) {
		t.Errorf("without key: got %v, %v, told %v", key, public, told)
	}
	const starters = 8
	var makers [starters]bool
	var keys [starters]onlineKeys
	var group sync.WaitGroup
	for i := range starters {
		group.Go(func() {
			var err error
			if makers[i], err = d.EnsureOnline(t.Context(), now); err == nil {
				keys[i], err = d.readOnline()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	made := 0
	for i := range starters {
		if makers[i] {
			made++
		}
		if len(keys[i]) != 1 || !keys[i][0].key.Equal(keys[0][0].key) {
			t.Errorf("starter %d has another key", i)
		}
	}
	if made != 1 {
		t.Errorf("%d made the key", made)
	}
	if stat, err := os.Stat(d.path(onlineKeyFile)); err != nil || stat.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("mode %v, %v", stat.Mode(), err)
	}
	if left, err := filepath.Glob(d.path("keys/.online*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestRotateOnlineTogether: replacements at once are all kept, up to what agents read.
func TestRotateOnlineTogether(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}})
	var group sync.WaitGroup
	for range ocs.MaxKeys - 1 {
		group.Go(func() {
			if _, _, err := d.RotateOnline(t.Context(), now); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if _, public := onlineAt(t, d, now); len(public) != ocs.MaxKeys {
		t.Errorf("%d are handed out", len(public))
	}
	_, _, err := d.RotateOnline(t.Context(), now.Add(time.Hour))
	if core.ClassOf(err) != core.ClassLimit ||
		!strings.Contains(err.Error(), now.Add(OnlineLead+ticket.Lifetime).UTC().Format(time.RFC3339)) {
		t.Errorf("one more: got %v", err)
	}
	if _, _, err := d.RotateOnline(t.Context(), now.Add(OnlineLead+ticket.Lifetime)); err != nil {
		t.Errorf("later: got %v", err)
	}
}

// TestOnlineFile: what keys/online.pem may not be.
func TestOnlineFile(t *testing.T) {
	d := made(t, Options{Hosts: []string{"a"}})
	good, err := readFile(d.path(onlineKeyFile))
	check(t, err)
	ca, err := readFile(d.path(signingKeyFile))
	check(t, err)
	for name, data := range map[string][]byte{
		"empty":              nil,
		"no time":            ca,
		"a certificate":      encodeCertificates([]*x509.Certificate{d.agentCA}),
		"another kind":       pem.EncodeToMemory(keyBlock(t, newKey(t))),
		"an impossible time": bytes.Replace(good, []byte("Made: 2"), []byte("Made: x"), 1),
		"too many":           bytes.Repeat(good, ocs.MaxKeys+1),
	} {
		check(t, os.WriteFile(d.path(onlineKeyFile), data, 0o600))
		if _, err := d.EnsureOnline(t.Context(), now); core.ClassOf(err) != core.ClassFormat {
			t.Errorf("%s: got %v", name, err)
		}
		if _, _, err := d.RotateOnline(t.Context(), now); core.ClassOf(err) != core.ClassFormat {
			t.Errorf("%s, replaced: got %v", name, err)
		}
		if kept, err := readFile(d.path(onlineKeyFile)); err != nil || !slices.Equal(kept, data) {
			t.Errorf("%s: the file was changed, %v", name, err)
		}
	}
}
