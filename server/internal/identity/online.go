package identity

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/pemfile"
	"enjambre/peer/ticket"
)

// OnlineLead is how long a new online key is handed out before it signs. Members verify each other's tickets: so those
// that call at least once in that time never meet a signature by a key that they do not know.
const OnlineLead = 24 * time.Hour

// onlineLockPatience bounds the wait for another process that makes or replaces the key, which takes milliseconds.
const onlineLockPatience = 10 * time.Second

// madeHeader is the PEM header with the time at which an online key was made.
const madeHeader = "Made"

// An onlineKey is one of the keys in keys/online.pem.
type onlineKey struct {
	made time.Time // in whole seconds
	key  ed25519.PrivateKey
}

// onlineKeys are those of keys/online.pem, the newest first; between 1 and ocs.MaxKeys.
type onlineKeys []onlineKey

// signing returns the key that signs: the newest that has been handed out for OnlineLead. A first key has nobody to
// wait for.
func (k onlineKeys) signing(now time.Time) ed25519.PrivateKey {
	for _, one := range k {
		if !now.Before(one.made.Add(OnlineLead)) {
			return one.key
		}
	}
	return k[len(k)-1].key
}

// counting returns the keys by which something that is still valid may have been signed, or will be.
func (k onlineKeys) counting(now time.Time) onlineKeys {
	end := 1
	for end < len(k) && now.Before(k[end-1].made.Add(OnlineLead+ticket.Lifetime)) {
		end++
	}
	return k[:end]
}

// encode writes the keys as keys/online.pem holds them.
func (k onlineKeys) encode() ([]byte, error) {
	var data []byte
	for _, one := range k {
		block, err := encodeKey(one.key)
		if err != nil {
			return nil, err
		}
		block.Headers = map[string]string{madeHeader: one.made.UTC().Format(time.RFC3339)}
		data = append(data, pem.EncodeToMemory(block)...)
	}
	return data, nil
}

// parseOnline reads what encode writes.
func parseOnline(data []byte, name string) (onlineKeys, error) {
	var keys onlineKeys
	blocks, err := pemfile.Blocks(data, name)
	if err != nil {
		return nil, err
	}
	for _, block := range blocks {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		key, isEd25519 := parsed.(ed25519.PrivateKey)
		if block.Type != keyType || err != nil || !isEd25519 {
			return nil, core.Refuse(core.ClassFormat, "%s: block %d is not an Ed25519 key; restore it from a backup",
				name, len(keys)+1)
		}
		made, err := time.Parse(time.RFC3339, block.Headers[madeHeader])
		if err != nil {
			return nil, core.Refuse(core.ClassFormat, "%s: key %d does not say when it was made; restore it from a backup",
				name, len(keys)+1)
		}
		keys = append(keys, onlineKey{made.UTC(), key})
	}
	if len(keys) == 0 || len(keys) > ocs.MaxKeys {
		return nil, core.Refuse(core.ClassFormat, "%s holds %d keys, want 1 to %d; restore it from a backup", name,
			len(keys), ocs.MaxKeys)
	}
	return keys, nil
}

func newOnlineKey(now time.Time) (onlineKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return onlineKey{now.UTC().Truncate(time.Second), key}, err
}

// readOnline reads keys/online.pem; the error is [fs.ErrNotExist] in a folder made before there was one.
func (d *Deployment) readOnline() (onlineKeys, error) {
	data, err := readFile(d.path(onlineKeyFile))
	if err != nil {
		return nil, fmt.Errorf("read online key: %w", err)
	}
	return parseOnline(data, d.path(onlineKeyFile))
}

func (d *Deployment) writeOnline(keys onlineKeys) error {
	data, err := keys.encode()
	if err != nil {
		return err
	}
	return writeFile(d.path(onlineKeyFile), data, secretMode)
}

// changeOnline replaces keys/online.pem by what change makes of it, while no other process does. Change gets none
// where there is no file, and writes nothing by returning none.
func (d *Deployment) changeOnline(ctx context.Context, change func(onlineKeys) (onlineKeys, error)) (err error) {
	ctx, cancel := context.WithTimeout(ctx, onlineLockPatience)
	defer cancel()
	lock := flock.New(d.path(onlineLockFile))
	if _, err := lock.TryLockContext(ctx, 10*time.Millisecond); err != nil {
		return fmt.Errorf("lock %s, which another process holds: %w", d.path(onlineLockFile), err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	keys, err := d.readOnline()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if keys, err = change(keys); err != nil || keys == nil {
		return err
	}
	return d.writeOnline(keys)
}

// EnsureOnline makes the online key of a deployment that was made before there was one, and forgets former keys that
// are of no use any more. Of several processes that do so at once, one makes the key. It reports whether this one did.
func (d *Deployment) EnsureOnline(ctx context.Context, now time.Time) (made bool, err error) {
	keys, err := d.readOnline()
	if err == nil && len(keys.counting(now)) == len(keys) {
		return false, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	err = d.changeOnline(ctx, func(keys onlineKeys) (onlineKeys, error) {
		if len(keys) > 0 {
			return slices.Clone(keys.counting(now)), nil
		}
		first, err := newOnlineKey(now)
		made = err == nil
		return onlineKeys{first}, err
	})
	return made, err
}

// RotateOnline makes a new online key. It is handed out from now on and signs after OnlineLead; the key that signs
// until then is handed out for the life of a ticket more. It returns the new public key and when it begins to sign.
// More than ocs.MaxKeys that count at once are refused.
func (d *Deployment) RotateOnline(ctx context.Context, now time.Time) (public ed25519.PublicKey, signs time.Time,
	err error) {
	err = d.changeOnline(ctx, func(keys onlineKeys) (onlineKeys, error) {
		next, err := newOnlineKey(now)
		if err != nil {
			return nil, err
		}
		public, signs = next.key.Public().(ed25519.PublicKey), next.made.Add(OnlineLead)
		if len(keys) == 0 {
			signs = next.made
			return onlineKeys{next}, nil
		}
		keys = append(onlineKeys{next}, keys...).counting(now)
		if len(keys) > ocs.MaxKeys {
			return nil, core.Refuse(core.ClassLimit,
				"%d online keys are handed out, more than agents read: the next can be made at %s", len(keys)-1,
				keys[len(keys)-2].made.Add(OnlineLead+ticket.Lifetime).Format(time.RFC3339))
		}
		return keys, nil
	})
	return public, signs, err
}

// An OnlineReader gives contacts the online key, and notices within a second when that changes. Safe for
// concurrent use.
type OnlineReader struct{ watched[onlineWords] }

// onlineWords are what signs, and what agents are to verify by.
type onlineWords struct {
	key    ed25519.PrivateKey
	public [][]byte
}

// NewOnlineReader returns an OnlineReader. What goes wrong goes to report, once; what was known before then holds.
func NewOnlineReader(d *Deployment, report func(error)) *OnlineReader {
	read := func(now time.Time) (onlineWords, error) {
		keys, err := d.readOnline()
		if err != nil {
			return onlineWords{}, err
		}
		words := onlineWords{key: keys.signing(now)}
		for _, one := range keys.counting(now) {
			words.public = append(words.public, one.key.Public().(ed25519.PublicKey))
		}
		return words, nil
	}
	return &OnlineReader{watched[onlineWords]{
		read: read, broken: "tickets are not signed by the newest key", report: report, now: time.Now,
	}}
}

// Current returns the key that signs tickets and epochs now, and the public keys that agents are to verify them by,
// the newest first. Nobody may change either. The key is nil while none could be read.
func (r *OnlineReader) Current() (ed25519.PrivateKey, [][]byte) {
	words := r.current()
	return words.key, words.public
}
