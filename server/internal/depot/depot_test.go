package depot

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
)

const id = core.PackageID(1764000000)

func newDepot(t *testing.T) *Depot {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "packages"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newDraft(t *testing.T, d *Depot, id core.PackageID) *Draft {
	t.Helper()
	draft, err := d.NewDraft(id)
	if err != nil {
		t.Fatal(err)
	}
	return draft
}

// noise returns size bytes that are the same every time.
func noise(size int) []byte {
	data := make([]byte, size)
	random := rand.New(rand.NewPCG(1, uint64(size)))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return data
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// names lists the depot's folder.
func names(t *testing.T, d *Depot) string {
	t.Helper()
	entries, err := os.ReadDir(d.root)
	check(t, err)
	var list []string
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return strings.Join(list, " ")
}

func TestPublish(t *testing.T) {
	d := newDepot(t)
	archive := noise(100_000)
	draft := newDraft(t, d, id)
	cutting, err := draft.Cut(t.Context(), bytes.NewReader(archive), int64(len(archive)), 16<<10)
	check(t, err)
	if cutting.Digest != core.DigestOf(archive) || cutting.MD5 != md5.Sum(archive) ||
		cutting.Plan.Count() != 7 {
		t.Errorf("got %+v", cutting)
	}
	if _, err := d.Open(id, InfoFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a draft is served: %v", err)
	}
	check(t, draft.Write(InfoFile, []byte("info")))
	check(t, draft.Publish())
	check(t, draft.Close())
	if got := names(t, d); got != id.String() {
		t.Errorf("got %q", got)
	}
	list, err := d.ReadFile(id, DigestsFile)
	check(t, err)
	digests, err := fragment.ParseDigests(list, cutting.Plan, core.DigestOf(list))
	check(t, err)
	var whole []byte
	for i := range digests {
		data, err := d.ReadFile(id, FragmentName(id, core.FragmentIndex(i)))
		check(t, err)
		check(t, digests.Verify(core.FragmentIndex(i), data, cutting.Plan))
		whole = append(whole, data...)
	}
	if !bytes.Equal(whole, archive) {
		t.Error("the fragments are not the archive")
	}
	if _, err := d.NewDraft(id); err == nil {
		t.Error("a published package is built again")
	}
	check(t, d.Remove(id))
	check(t, d.Remove(id))
	if got := names(t, d); got != "" {
		t.Errorf("after removal: %q", got)
	}
}

func TestCutRefuses(t *testing.T) {
	archive := noise(50_000)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	cases := []struct {
		name    string
		ctx     context.Context
		size    int64
		message string
	}{
		{"shorter than it said", t.Context(), 60_000, "ended 10000 bytes early"},
		{"longer than it said", t.Context(), 40_000, "longer than the 40000 bytes"},
		{"empty", t.Context(), 0, "cannot be cut"},
		{"cancelled", cancelled, 50_000, "context canceled"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := newDepot(t)
			draft := newDraft(t, d, id)
			_, err := draft.Cut(c.ctx, bytes.NewReader(archive), c.size, 16<<10)
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got %v, want %q", err, c.message)
			}
			check(t, draft.Close())
			if got := names(t, d); got != "" {
				t.Errorf("residue: %q", got)
			}
		})
	}
}

// TestArchiveReader holds reads at any place to the original bytes.
func TestArchiveReader(t *testing.T) {
	archive := noise(70_000)
	d := newDepot(t)
	draft := newDraft(t, d, id)
	defer draft.Close()
	cutting, err := draft.Cut(t.Context(), bytes.NewReader(archive), int64(len(archive)), 16<<10)
	check(t, err)
	reader := draft.Archive(cutting.Plan)
	defer reader.Close()
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		offset := random.Int64N(int64(len(archive)) + 10)
		buffer := make([]byte, random.IntN(40_000))
		n, err := reader.ReadAt(buffer, offset)
		want := archive[min(int(offset), len(archive)):]
		want = want[:min(len(want), len(buffer))]
		if !bytes.Equal(buffer[:n], want) || (n < len(buffer)) != errors.Is(err, io.EOF) {
			t.Fatalf("%d bytes at %d: got %d, %v", len(buffer), offset, n, err)
		}
	}
	if _, err := reader.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("a negative offset is read")
	}
}

func TestOnlyPublishedNames(t *testing.T) {
	d := newDepot(t)
	check(t, os.MkdirAll(filepath.Join(d.Folder(id), "sub"), 0o755))
	for _, name := range []string{"secret", "sub", "../x", id.String() + "-0", id.String() + "-01", id.String() + "-1x",
		id.String() + "-100000", id.String(), "", ".", "info/", "1764000001-1"} {
		if _, err := d.Open(id, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: got %v, want not exist", name, err)
		}
	}
}

// abandoned says of every package that nothing came of it.
func abandoned(core.PackageID) (Standing, error) { return Abandoned, nil }

func TestSweep(t *testing.T) {
	d := newDepot(t)
	for _, name := range []string{"1764000001", "1764000002", "1764000008", ".new-1764000003", ".old-1764000004", "notes", "017"} {
		check(t, os.Mkdir(filepath.Join(d.root, name), 0o755))
	}
	live := newDraft(t, d, 1764000005)
	swept, err := d.Sweep(func(id core.PackageID) (Standing, error) {
		return map[core.PackageID]Standing{1764000001: Recorded, 1764000002: Abandoned, 1764000008: Unheard}[id], nil
	})
	check(t, errors.Join(append(swept.Stuck, err)...))
	if got, want := fmt.Sprint(swept.Removed), "[.new-1764000003 .old-1764000004 1764000002]"; got != want {
		t.Errorf("removed %s, want %s", got, want)
	}
	if got, want := names(t, d), ".new-1764000005 .new-1764000005.lock 017 1764000001 1764000008 notes"; got != want {
		t.Errorf("left %q, want %q", got, want)
	}
	// Published, but not yet on record: its builder still holds the lock.
	check(t, live.Publish())
	swept, err = d.Sweep(abandoned)
	check(t, errors.Join(append(swept.Stuck, err)...))
	if got := fmt.Sprint(swept.Removed); got != "[1764000001 1764000008]" {
		t.Errorf("removed %s", got)
	}
	check(t, live.Withdraw())
	check(t, live.Close())
	failing := errors.New("database away")
	check(t, os.Mkdir(filepath.Join(d.root, "1764000009"), 0o755))
	if _, err := d.Sweep(func(core.PackageID) (Standing, error) { return 0, failing }); !errors.Is(err,
		failing) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(d.Folder(1764000009)); err != nil {
		t.Error("a folder was removed although nobody knows whether it is on record")
	}
}

// killedBuilder is the variable that makes this test binary the builder that is killed.
const killedBuilder = "ENJAMBRE_TEST_KILLED_BUILDER"

// killedPublisher is the variable that makes it one that publishes until it is killed.
const killedPublisher = "ENJAMBRE_TEST_KILLED_PUBLISHER"

func TestMain(m *testing.M) {
	if root := os.Getenv(killedPublisher); root != "" {
		d, err := Open(root)
		for next := id; err == nil; next++ {
			if err = build(context.Background(), d, next, noise(20_000)); err == nil {
				fmt.Println(next)
			}
		}
		fmt.Println(err)
		os.Exit(1)
	}
	if root := os.Getenv(killedBuilder); root != "" {
		d, err := Open(root)
		var draft *Draft
		if err == nil {
			draft, err = d.NewDraft(id)
		}
		if err == nil {
			fmt.Println("building")
			_, err = draft.Cut(context.Background(), endless{}, 1<<30, 16<<10)
		}
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// endless is an archive that does not end.
type endless struct{}

func (endless) Read(to []byte) (int, error) { return len(to), nil }

// runKilled runs this test binary with the variable, kills it some time after its first word, and returns
// what it said.
func runKilled(t *testing.T, delay time.Duration, variable string) (lines []string) {
	t.Helper()
	program := exec.Command(os.Args[0])
	program.Env = append(os.Environ(), variable)
	stdout, err := program.StdoutPipe()
	check(t, err)
	check(t, program.Start())
	for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
		if lines = append(lines, scanner.Text()); len(lines) == 1 {
			time.AfterFunc(delay, func() { _ = program.Process.Kill() })
		}
	}
	_ = program.Wait() // killed, as meant
	return lines
}

// TestKilledBuilder: a builder in another process is left alone while it lives, and swept once it is dead.
func TestKilledBuilder(t *testing.T) {
	d := newDepot(t)
	builder := exec.Command(os.Args[0])
	builder.Env = append(os.Environ(), killedBuilder+"="+d.root)
	stdout, err := builder.StdoutPipe()
	check(t, err)
	check(t, builder.Start())
	if n, err := stdout.Read(make([]byte, 20)); n == 0 {
		t.Fatal(err)
	}
	if swept, err := d.Sweep(abandoned); err != nil || len(swept.Removed) != 0 {
		t.Errorf("a living builder's draft: swept %v, %v", swept, err)
	}
	if _, err := d.NewDraft(id); err == nil || !strings.Contains(err.Error(), "built by another process") {
		t.Errorf("got %v", err)
	}
	check(t, builder.Process.Kill())
	_ = builder.Wait() // killed, as meant
	swept, err := d.Sweep(abandoned)
	if err != nil || len(swept.Removed) != 1 {
		t.Errorf("a dead builder's draft: removed %v, %v", swept, err)
	}
	if got := names(t, d); got != "" {
		t.Errorf("left %q", got)
	}
}
