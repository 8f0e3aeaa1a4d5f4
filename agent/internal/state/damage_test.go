package state

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"enjambre/core"
)

// The ways in which a file is damaged: all that a disk, a script or a person does to one.
var ways = map[string]func(t *testing.T, file, others string) error{
	"missing":   func(_ *testing.T, file, _ string) error { return os.Remove(file) },
	"empty":     func(_ *testing.T, file, _ string) error { return os.Truncate(file, 0) },
	"truncated": func(t *testing.T, file, _ string) error { return os.Truncate(file, int64(len(content(t, file))*2/3)) },
	"garbage": func(_ *testing.T, file, _ string) error {
		return os.WriteFile(file, bytes.Repeat([]byte{0xff, 0, 'g', '\n'}, 99), 0o600)
	},
	"another's": func(t *testing.T, file, others string) error { return os.WriteFile(file, content(t, others), 0o600) },
}

func content(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// enrolled returns a folder that is enrolled in a deployment whose authority is the n-th.
func enrolled(t *testing.T, n int) *Folder {
	t.Helper()
	folder := opened(t)
	authority := selfSigned(t, n)[n-1]
	device, err := folder.Device(func() (core.DeviceID, error) { return "pc-2026-01-01-00-00-00", nil })
	if err != nil {
		t.Fatal(err)
	}
	err = folder.Enrolled(Enrolment{
		Identity: Identity{Deployment: "d", Device: device, Server: "https://s.example/ocsinventory", Threshold: 1,
			Signers: []Signer{{"o", authorityKey(n).Public().(ed25519.PublicKey)}}},
		Certificate: certifiedBy(t, folder, n), Authority: authority, ServerCA: encodeCertificate(authority),
	})
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestEveryDamage: of each file that makes an agent who it is, damaged in each way, it is said which and what helps, and
// nothing is made anew in silence.
func TestEveryDamage(t *testing.T) {
	certificate := func(f *Folder) error { _, err := f.Certificate(); return err }
	identity := func(f *Folder) error { _, err := f.Identity(); return err }
	for name, c := range map[string]struct {
		read    func(*Folder) error
		helps   string
		missing error // what a missing file is; nil: fs.ErrNotExist
		others  bool  // another's cannot be told from ours by this file alone
	}{
		keyFile:         {certificate, "enroll --anew", nil, false},
		certificateFile: {certificate, "enroll --anew", nil, false},
		identityFile:    {identity, "backup", ErrNotEnrolled, true},
		agentCAFile:     {(*Folder).Certified, "", nil, false},
		authorityFile:   {func(f *Folder) error { _, err := f.Authorities(); return err }, "", nil, true},
	} {
		for way, damage := range ways {
			t.Run(name+" "+way, func(t *testing.T) {
				folder, other := enrolled(t, 1), enrolled(t, 2)
				if err := c.read(folder); err != nil {
					t.Fatal(err)
				}
				if err := damage(t, folder.file(name), other.file(name)); err != nil {
					t.Fatal(err)
				}
				before := listing(t, folder)
				err := c.read(folder)
				if c.others && way == "another's" {
					if err != nil {
						t.Errorf("got %v", err)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), c.helps) {
					t.Errorf("got %v, want one that names %s and says %q", err, name, c.helps)
				}
				if missing := c.missing; way == "missing" && missing != nil && !errors.Is(err, missing) {
					t.Errorf("got %v, want %v", err, missing)
				}
				if after := listing(t, folder); after != before {
					t.Errorf("before %s, after %s", before, after)
				}
			})
		}
	}
}

func listing(t *testing.T, folder *Folder) string {
	t.Helper()
	names, err := filepath.Glob(folder.file("*"))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, name := range names {
		text.WriteString(name + core.DigestOf(content(t, name)).String() + " ")
	}
	return text.String()
}

// TestRenewedAfterDamage: a renewal mends a lost, damaged or foreign agent-ca.pem, of which nothing is kept.
func TestRenewedAfterDamage(t *testing.T) {
	for way, damage := range ways {
		folder, other := enrolled(t, 1), enrolled(t, 2)
		if err := damage(t, folder.file(agentCAFile), other.file(agentCAFile)); err != nil {
			t.Fatal(err)
		}
		if err := folder.Renewed(certifiedBy(t, folder, 1), selfSigned(t, 1)[0]); err != nil {
			t.Fatalf("%s: %v", way, err)
		}
		if all, err := folder.AgentAuthorities(); err != nil || len(all) != 1 || folder.Certified() != nil {
			t.Errorf("%s: %d authorities, %v", way, len(all), err)
		}
	}
}

// TestDamagedBeforeEnrolment: as long as nobody has certified the key, a damaged one is no loss.
func TestDamagedBeforeEnrolment(t *testing.T) {
	for way, damage := range ways {
		folder, other := opened(t), enrolled(t, 2)
		first, err := folder.Key()
		if err != nil {
			t.Fatal(err)
		}
		if err := damage(t, folder.file(keyFile), other.file(keyFile)); err != nil {
			t.Fatal(err)
		}
		second, err := folder.Key()
		if err != nil || second.Equal(first) {
			t.Errorf("%s: %v", way, err)
		}
		if third, err := folder.Key(); err != nil || !third.Equal(second) {
			t.Errorf("%s: the key changes: %v", way, err)
		}
		if err := os.WriteFile(folder.file(deviceFile), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if device, err := folder.Device(func() (core.DeviceID, error) { return "pc-2026-01-01-00-00-00", nil }); err != nil ||
			device != "pc-2026-01-01-00-00-00" {
			t.Errorf("device %q, %v", device, err)
		}
	}
}

// TestRecall: what the agent can do without is forgotten whatever lies there, is put aside, and can be kept again.
func TestRecall(t *testing.T) {
	type memory struct {
		Text string
		List []int
	}
	before := memory{"before", []int{1}}
	for name, text := range map[string]string{
		"empty": "", "truncated": `{"Text":"x","List":[2`, "garbage": "\xff\x00g", "another's": `{"others":1}`,
		"behind": `{"Text":"x","List":[2]} x`, "type": `{"Text":"x","List":[2],"Text":3}`, "folder": "/",
	} {
		folder := opened(t)
		var err error
		if name == "folder" {
			err = os.MkdirAll(folder.file("m.json/inside"), 0o700)
		} else {
			err = os.WriteFile(folder.file("m.json"), []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 { // the second time nothing is there
			got, err := Recall(folder, "m", before)
			if got.Text != "before" || len(got.List) != 1 || before.List[0] != 1 || (err == nil) != (i == 1) {
				t.Errorf("%s, time %d: got %+v, %v", name, i+1, got, err)
			}
		}
		if _, err := os.Stat(folder.file("m.json.damaged")); err != nil {
			t.Error(err)
		}
		if err := folder.Save("m", memory{Text: "kept"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := Recall(folder, "m", memory{}); err != nil || got.Text != "kept" {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

// TestFind: a folder that is not there is named, and not made; nor is a file in one that is.
func TestFind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mistyped")
	if _, err := Find(path); !errors.Is(err, ErrNotEnrolled) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was made: %v", err)
	}
	folder := opened(t)
	if running, err := folder.Running(); running || err != nil {
		t.Errorf("runs: %v, %v", running, err)
	}
	if got := listing(t, folder); got != "" {
		t.Errorf("made %s", got)
	}
}

// TestAnothersIdentity: an identity.json of another agent is told by our certificate.
func TestAnothersIdentity(t *testing.T) {
	folder := enrolled(t, 1)
	known, err := folder.Identity()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(content(t, folder.file(identityFile))), string(known.Device), "pc-2027-01-01-00-00-00", 1)
	if err := os.WriteFile(folder.file(identityFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Certificate(); err == nil || !strings.Contains(err.Error(), identityFile) ||
		!strings.Contains(err.Error(), "another agent's") {
		t.Errorf("got %v", err)
	}
}
