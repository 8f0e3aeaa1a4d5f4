package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"enjambre/core"
)

const id = core.PackageID(1700000001)

func clock() time.Time { return time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC) }

func opened(t testing.TB, path string) *Ledger {
	t.Helper()
	l, err := Open(path, clock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func must[T any](t testing.TB) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// TestLife: one package from its intent to the acknowledged result, and a second time by force.
func TestLife(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l := opened(t, path)
	if _, known := l.Last(id); known {
		t.Error("an empty ledger knows a package")
	}
	first := must[Attempt](t)(l.Intend(id, core.DigestOf(nil)))
	if first.Number != 1 || first.Stage != Intended || len(first.Nonce) != 32 {
		t.Errorf("got %+v", first)
	}
	must[Attempt](t)(l.Interrupt(id))
	again := must[Attempt](t)(l.Intend(id, core.DigestOf(nil)))
	if again.Number != 1 || again.Interrupted != 1 || again.Nonce == first.Nonce {
		t.Errorf("got %+v", again)
	}
	result := Result{Text: "SUCCESS_0", Exit: "0", Output: "done", Installed: true}
	must[Attempt](t)(l.End(id, result))
	if got := l.At(Ended); len(got) != 1 || got[0].Result != result {
		t.Errorf("got %+v", got)
	}
	if err := l.Report(id); err != nil {
		t.Fatal(err)
	}
	if err := l.Report(id); err == nil {
		t.Error("a result was acknowledged twice")
	}
	must[Attempt](t)(l.Intend(id, core.DigestOf(nil)))
	second := must[Attempt](t)(l.End(id, Result{Text: "ERR_EXECUTE", Exit: "3"}))
	if second.Number != 2 || !second.Result.Installed || !slices.Equal(l.Installed(), []core.PackageID{id}) {
		t.Errorf("a repetition that failed: %+v, installed %v; want the package still installed", second, l.Installed())
	}
	want, _ := l.Last(id)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := opened(t, path).Last(id); !cmp.Equal(got, want) {
		t.Errorf("reopened: %s", cmp.Diff(want, got))
	}
}

// TestEndWithoutIntent: a package can end before anything ran, such as with ERR_BAD_ID.
func TestEndWithoutIntent(t *testing.T) {
	l := opened(t, filepath.Join(t.TempDir(), "ledger"))
	for number := 1; number <= 2; number++ {
		got := must[Attempt](t)(l.End(id, Result{Text: "ERR_BAD_ID"}))
		if got.Number != number || got.Stage != Ended || got.Nonce != "" {
			t.Errorf("got %+v", got)
		}
	}
	if _, err := l.Interrupt(id); err == nil {
		t.Error("what never began was interrupted")
	}
	if _, err := l.End(id, Result{}); err == nil {
		t.Error("a result without text")
	}
	if got := must[Attempt](t)(l.End(id, Result{Text: strings.Repeat("x", maxLine)})); len(got.Result.Text) != 255 {
		t.Errorf("a text of %d bytes", len(got.Result.Text))
	}
}

// filled returns the bytes of a ledger with some lines, and what it says after each prefix of whole lines.
func filled(t testing.TB) (data []byte, after map[int]map[core.PackageID]Attempt) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger")
	l := opened(t, path)
	after = map[int]map[core.PackageID]Attempt{}
	note := func() {
		known := map[core.PackageID]Attempt{}
		for id, attempt := range l.last {
			known[id] = attempt
		}
		after[int(l.size)] = known
	}
	note()
	for i := range 3 {
		id := id + core.PackageID(i)
		must[Attempt](t)(l.Intend(id, core.Digest{1}))
		note()
		must[Attempt](t)(l.End(id, Result{Text: "SUCCESS", Output: "a \"b\"\n<c>\u00e9", Installed: true}))
		note()
		if err := l.Report(id); err != nil {
			t.Fatal(err)
		}
		note()
	}
	return must[[]byte](t)(os.ReadFile(path)), after
}

// TestCutAnywhere: whatever a crash leaves of the last line, the lines before it hold, and the ledger goes on.
func TestCutAnywhere(t *testing.T) {
	data, after := filled(t)
	last := 0
	for cut := range len(data) + 1 {
		if _, whole := after[cut]; whole {
			last = cut
		}
		for _, tail := range []string{"", strings.Repeat("\x00", 37)} {
			good, _, got, err := replay(append(slices.Clone(data[:cut]), tail...))
			if err != nil || good != last || !cmp.Equal(got, after[last]) {
				t.Fatalf("cut at %d: %d good bytes, %v, %s", cut, good, err, cmp.Diff(after[last], got))
			}
		}
	}
	path := filepath.Join(t.TempDir(), "ledger")
	if err := os.WriteFile(path, data[:len(data)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	l := opened(t, path)
	if l.Dropped() == 0 {
		t.Error("a line that was cut short is not noticed")
	}
	must[Attempt](t)(l.Intend(id+9, core.Digest{}))
	if _, known := opened(t, path).Last(id + 9); !known {
		t.Error("a line that was appended behind a dropped one is lost")
	}
}

// TestDamage: no changed byte before the last line goes unseen.
func TestDamage(t *testing.T) {
	data, _ := filled(t)
	lastLine := bytes.LastIndexByte(data[:len(data)-1], '\n') + 1
	for at := range lastLine - 1 { // without the line's end there, the last two lines are one
		changed := slices.Clone(data)
		changed[at] ^= 1
		if _, _, _, err := replay(changed); !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d (%q): got %v", at, data[at], err)
		}
	}
	path := filepath.Join(t.TempDir(), "ledger")
	swapped := bytes.SplitAfter(data, []byte("\n"))
	swapped[1], swapped[2] = swapped[2], swapped[1]
	if err := os.WriteFile(path, bytes.Join(swapped, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, clock); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "move the file away") {
		t.Errorf("swapped lines: got %v", err)
	}
}

// TestCompact: a long ledger is shortened and says the same, but for outputs that were acknowledged.
func TestCompact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l := opened(t, path)
	output := strings.Repeat("x", 4<<10)
	for i := 0; l.size <= compactAt; i++ {
		id := id + core.PackageID(i%100)
		must[Attempt](t)(l.End(id, Result{Text: "ERR_EXECUTE", Output: output}))
		if i%100 > 0 {
			if err := l.Report(id); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := l.last
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	short := opened(t, path)
	if short.size > 100<<10 || !cmp.Equal(short.last, want) {
		t.Errorf("%d bytes; %s", short.size, cmp.Diff(want, short.last))
	}
	must[Attempt](t)(short.Intend(id, core.Digest{}))
	want = short.last
	if read, err := Read(path); err != nil || len(read) != len(want) || read[0].Package != id {
		t.Errorf("read by another: %d attempts, %v", len(read), err)
	}
	if again := opened(t, path); !cmp.Equal(again.last, want) {
		t.Error(cmp.Diff(want, again.last))
	}
}

// TestLongRun: a ledger that stays open for years does not grow past what can be opened again.
func TestLongRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l := opened(t, path)
	must[Attempt](t)(l.End(id, Result{Text: "SUCCESS", Installed: true}))
	output := strings.Repeat("x", 4<<10)
	for written := 0; written < 3*compactAt; written += len(output) {
		must[Attempt](t)(l.End(id+1, Result{Text: "ERR_EXECUTE", Output: output}))
	}
	if stat, err := os.Stat(path); err != nil || stat.Size() > compactAt+maxLine {
		t.Errorf("%d bytes, %v", stat.Size(), err)
	}
	if got := opened(t, path).last; !cmp.Equal(got, l.last) || !got[id].Result.Installed {
		t.Error(cmp.Diff(l.last, got))
	}
}

// TestForeignTexts: a reason in which a stranger's bytes stand, or too many of them, neither keeps a result from
// being noted nor the ledger from being read again.
func TestForeignTexts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l := opened(t, path)
	for i, text := range []string{"it answered 404 \xff\xfe", "\u2028<&>\x1b", strings.Repeat("\x01\u00e9\xff", 50_000)} {
		noted := must[Attempt](t)(l.End(id+core.PackageID(i), Result{Text: "ERR_BAD_ID", Detail: text, Output: text}))
		if len(noted.Result.Detail) == 0 || len(noted.Result.Output) == 0 {
			t.Errorf("%.20q: nothing is left of it", text)
		}
	}
	must[Attempt](t)(l.Intend(id+9, core.Digest{}))
	if got := opened(t, path).last; !cmp.Equal(got, l.last) {
		t.Error(cmp.Diff(l.last, got))
	}
}

// TestBroken: after a failed write nothing more is noted.
func TestBroken(t *testing.T) {
	l := opened(t, filepath.Join(t.TempDir(), "ledger"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := l.Intend(id, core.Digest{}); !errors.Is(err, os.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
	if _, known := l.Last(id); known {
		t.Error("what could not be noted is known")
	}
}

// FuzzReplay: whatever the file holds, what is accepted is good lines from its beginning, and reading these
// again says the same.
func FuzzReplay(f *testing.F) {
	data, _ := filled(f)
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add([]byte(fmt.Sprintf("%s {}\n", link("", []byte("{}")))))
	f.Fuzz(func(t *testing.T, data []byte) {
		good, chain, last, err := replay(data)
		if err != nil {
			return
		}
		again, chainAgain, lastAgain, err := replay(data[:good])
		if err != nil || again != good || chain != chainAgain || !cmp.Equal(last, lastAgain) {
			t.Errorf("%d and %d, %v", good, again, err)
		}
	})
}

// TestForeignFile: what no crash leaves of a line is not dropped as one cut short, and the file stays as it is.
func TestForeignFile(t *testing.T) {
	for name, text := range map[string]string{
		"garbage": "\xff\x00garbage", "text": "hello", "long": strings.Repeat("0", maxLine+1), "upper case": "ABCDEF",
	} {
		path := filepath.Join(t.TempDir(), "ledger")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, clock); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "backup") {
			t.Errorf("%s: got %v", name, err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != text {
			t.Errorf("%s: it is now %q, %v", name, data, err)
		}
	}
	zeros := filepath.Join(t.TempDir(), "ledger") // blocks that a power loss kept from the disk
	if err := os.WriteFile(zeros, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := Open(zeros, clock); err != nil || l.Dropped() == 0 {
		t.Errorf("zeros: %v", err)
	}
}
