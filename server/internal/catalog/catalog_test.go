package catalog

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/info"
	"enjambre/core/seal"
	"enjambre/server/internal/depot"
	"enjambre/server/internal/setting"
	"enjambre/server/internal/store"
)

var now = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newCatalog(t testing.TB) *Catalog {
	t.Helper()
	folder := t.TempDir()
	check(t, store.Create(t.Context(), folder))
	opened, err := store.Open(t.Context(), folder)
	check(t, err)
	t.Cleanup(func() { check(t, opened.Close()) })
	files, err := depot.Open(filepath.Join(folder, "packages"))
	check(t, err)
	return &Catalog{
		Store:      opened,
		Depot:      files,
		Deployment: "test",
		Signer:     ed25519.NewKeyFromSeed(make([]byte, 32)),
		Log:        slog.New(slog.DiscardHandler),
	}
}

// write writes a file and returns its path.
func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	check(t, os.WriteFile(path, content, 0o644))
	return path
}

// tarGz returns an archive of files with a few bytes each.
func tarGz(t testing.TB, files ...string) []byte {
	t.Helper()
	var data bytes.Buffer
	compressed := gzip.NewWriter(&data)
	writer := tar.NewWriter(compressed)
	for _, name := range files {
		check(t,
			writer.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(name)), Typeflag: tar.TypeReg}))
		_, err := writer.Write([]byte(name))
		check(t, err)
	}
	check(t, errors.Join(writer.Close(), compressed.Close()))
	return data.Bytes()
}

func zipped(t testing.TB, files ...string) []byte {
	t.Helper()
	var data bytes.Buffer
	writer := zip.NewWriter(&data)
	for _, name := range files {
		file, err := writer.Create(name)
		check(t, err)
		_, err = file.Write([]byte(name))
		check(t, err)
	}
	check(t, writer.Close())
	return data.Bytes()
}

// published reads a package back as an agent would: the seal first, then the verified bytes.
func published(t *testing.T, c *Catalog, id core.PackageID) *info.Info {
	t.Helper()
	sealed, err := c.Depot.ReadFile(id, depot.SealedFile)
	check(t, err)
	policy := seal.Policy{
		Keys:      []seal.Key{{Public: c.Signer.Public().(ed25519.PublicKey), Owner: "server"}},
		Threshold: 1,
	}
	document, err := policy.Verify(sealed, seal.InfoType)
	check(t, err)
	bare, err := c.Depot.ReadFile(id, depot.InfoFile)
	check(t, err)
	if !bytes.Equal(bare, document) {
		t.Error("stock agents are told something else than was signed")
	}
	made, err := info.Parse(document)
	check(t, err)
	return made
}

func TestBuild(t *testing.T) {
	c := newCatalog(t)
	linux := write(t, "p.tar.gz", tarGz(t, "run.sh", "sub/data"))
	windows := write(t, "p.zip", zipped(t, "Setup.exe", "sub/data.bin"))
	cases := []struct {
		name string
		form Form
		want info.Info // the fields that the form decides
	}{
		{
			"launch",
			Form{
				Name:         "a",
				OS:           "linux",
				Action:       "LAUNCH",
				Priority:     "5",
				File:         linux,
				Command:      "run.sh -x",
				FragmentSize: "16KiB",
				Protocol:     "HTTP",
			},
			info.Info{OS: core.Linux, Priority: 5, Action: core.Launch, Target: "run.sh -x", Protocol: info.HTTP},
		},
		{
			"store",
			Form{Name: "a", OS: "windows", Action: "store", Priority: "10", File: windows, Path: `%ProgramFiles%\x`},
			info.Info{
				OS:       core.Windows,
				Priority: 10,
				Action:   core.Store,
				Target:   `%ProgramFiles%\x`,
				Protocol: info.HTTPS,
			},
		},
		{
			"launch of a Windows path",
			Form{
				Name:     "a",
				OS:       "windows",
				Action:   "LAUNCH",
				Priority: "1",
				File:     windows,
				Command:  `"setup.exe" /S`,
			},
			info.Info{
				OS:       core.Windows,
				Priority: 1,
				Action:   core.Launch,
				Target:   `"setup.exe" /S`,
				Protocol: info.HTTPS,
			},
		},
		{
			"execute",
			Form{
				Name:            "a",
				OS:              "linux",
				Action:          "EXECUTE",
				Priority:        "0",
				Command:         "echo <&>",
				SuccessCodes:    "0,7",
				ExecTimeout:     "90s",
				OnInterrupt:     "retry",
				Interactive:     true,
				NotifyText:      "n",
				NotifyCountdown: "60s",
				UserMayCancel:   true,
				UserMayDelay:    true,
				CompletionText:  "c",
			},
			info.Info{
				OS:           core.Linux,
				Action:       core.Execute,
				Target:       "echo <&>",
				Protocol:     info.HTTPS,
				SuccessCodes: []int{0, 7},
				Retry:        true,
				Interactive:  true,
				Notice: info.Notice{
					Text:      "n",
					Countdown: time.Minute,
					MayCancel: true,
					MayDelay:  true,
					MaxDelays: 5,
				},
				Completion: "c",
			},
		},
	}
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			built, err := c.Build(t.Context(), one.form, now)
			check(t, err)
			made := published(t, c, built.Package.ID)
			want := one.want
			want.ID, want.Issued, want.Deployment, want.Archive = built.Package.ID, now, "test", made.Archive
			if want.ExecTime = 2 * time.Hour; one.form.ExecTimeout != "" {
				want.ExecTime = 90 * time.Second
			}
			if !bytes.Equal(made.Canonical(), want.Canonical()) {
				t.Errorf("got %s\nwant %s", made.Canonical(), want.Canonical())
			}
			recorded, err := c.Store.Package(t.Context(), built.Package.ID)
			check(t, err)
			if recorded.InfoDigest != core.DigestOf(made.Canonical()) || recorded.Fragments != made.Fragments() {
				t.Errorf("recorded %+v", recorded)
			}
		})
	}
	list, err := c.Store.Packages(t.Context())
	check(t, err)
	check(t, c.Delete(t.Context(), list[0].ID))
	if _, err := os.Stat(c.Depot.Folder(list[0].ID)); !os.IsNotExist(err) {
		t.Errorf("files of a deleted package: %v", err)
	}
}

func TestBuildRefuses(t *testing.T) {
	c := newCatalog(t)
	good := write(t, "p.tar.gz", tarGz(t, "run.sh"))
	launch := func(file, command string) Form {
		return Form{Name: "a", OS: "linux", Action: "LAUNCH", Priority: "5", File: file, Command: command}
	}
	cases := []struct {
		name    string
		form    Form
		class   core.Class
		message string
	}{
		{"zip for Linux", launch(write(t, "p", zipped(t, "run.sh")), "run.sh"), core.ClassFormat, "zip"},
		{"not an archive", launch(write(t, "p", []byte("hello, hello, hello")), "run.sh"), core.ClassFormat, ""},
		{
			"two bad entries",
			launch(write(t, "p", tarGz(t, "../a", "run.sh", "/b")), "run.sh"),
			core.ClassPath,
			"/b",
		},
		{"program missing", launch(good, "setup.sh -x"), core.ClassField, `no file "setup.sh"`},
		{"program outside", launch(good, "../run.sh"), core.ClassExec, "inside the archive"},
	}
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			_, err := c.Build(t.Context(), one.form, now)
			if core.ClassOf(err) != one.class || !strings.Contains(err.Error(), one.message) {
				t.Errorf("got %v, want %s with %q", err, one.class, one.message)
			}
		})
	}
	entries, err := os.ReadDir(filepath.Dir(c.Depot.Folder(1)))
	if err != nil || len(entries) != 0 {
		t.Errorf("residue: %v, %v", entries, err)
	}
}

// TestSweepSparesWhatItNeverHeardOf: after a restored backup, folders that are newer than it stay.
func TestSweepSparesWhatItNeverHeardOf(t *testing.T) {
	c := newCatalog(t)
	abandoned, err := c.Store.ReserveID(t.Context(), now)
	check(t, err)
	for _, id := range []core.PackageID{abandoned, abandoned + 1} {
		check(t, os.Mkdir(c.Depot.Folder(id), 0o755))
	}
	check(t, c.Sweep(t.Context()))
	if _, err := os.Stat(c.Depot.Folder(abandoned)); !os.IsNotExist(err) {
		t.Errorf("an abandoned package's folder is left: %v", err)
	}
	if _, err := os.Stat(c.Depot.Folder(abandoned + 1)); err != nil {
		t.Errorf("a folder of another life was removed: %v", err)
	}
}

func TestEveryMistakeAtOnce(t *testing.T) {
	c := newCatalog(t)
	form := Form{
		OS:           "macos",
		Action:       "RUN",
		Priority:     "11",
		FragmentSize: "1KiB",
		Protocol:     "ftp",
		SuccessCodes: "x",
		ExecTimeout:  "-1s",
		UserMayDelay: true,
		File:         "/nonexistent",
	}
	_, err := c.Build(t.Context(), form, now)
	var mistakes *FormError
	if !errors.As(err, &mistakes) || !mistakes.Usage || len(mistakes.Mistakes) != 10 {
		t.Errorf("got %v", err)
	}
	_, err = c.Build(t.Context(),
		Form{Name: "a", OS: "linux", Action: "STORE", Priority: "1", Path: "/x", File: "/nonexistent"}, now)
	if !errors.As(err, &mistakes) || mistakes.Usage {
		t.Errorf("a missing file is no wrong usage: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	stock := setting.Effective{Deployment: setting.Values{setting.StockAgents: 1}}
	short := setting.Effective{Deployment: setting.Values{setting.PeriodLength: 4}}
	launch := func(target string) info.Info {
		return info.Info{
			OS:       core.Linux,
			Action:   core.Launch,
			Priority: 5,
			Target:   target,
			ExecTime: info.DefaultExecTime,
		}
	}
	cases := []struct {
		name     string
		made     info.Info
		settings setting.Effective
		want     string // "" = none

		inArchive string
	}{
		{"plain", launch("run.sh -x"), stock, "", ""},
		{"hyphen in the program", launch("my-run.sh"), stock, "hyphen", ""},
		{"hyphen, no stock agents", launch("my-run.sh"), setting.Effective{}, "", ""},
		{"leading dot", launch("./run.sh"), stock, "plain name", ""},
		{
			"bare name", info.Info{OS: core.Linux, Action: core.Execute, Priority: 1, ExecTime: info.DefaultExecTime}, stock,
			"write ./setup.sh", "setup.sh",
		},
		{"priority 0", info.Info{Action: core.Execute}, setting.Effective{}, "can stop all deployment", ""},
		{"above the period", launch("x"), short, "never download", ""},
		{
			"blank in a path",
			info.Info{
				OS:       core.Linux,
				Action:   core.Store,
				Priority: 1,
				Target:   "/a b",
				ExecTime: info.DefaultExecTime,
			},
			stock,
			"blanks", "",
		},
		{
			"long command",
			info.Info{OS: core.Windows, Action: core.Execute, Priority: 1, Target: strings.Repeat("x", 255)},
			stock,
			"254", "",
		},
		{
			"quotes in a notice",
			info.Info{OS: core.Windows, Action: core.Execute, Priority: 1, Notice: info.Notice{Text: `"`}},
			stock,
			"double quotes", "",
		},
		{
			"notice on Unix",
			info.Info{
				OS:       core.Linux,
				Action:   core.Execute,
				Priority: 1,
				Notice:   info.Notice{Text: "x"},
				ExecTime: info.DefaultExecTime,
			},
			stock,
			"no notice", "",
		},
	}
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			got := warnings(&one.made, one.inArchive, one.settings)
			if (one.want == "") != (len(got) == 0) || one.want != "" && !strings.Contains(got[0], one.want) {
				t.Errorf("got %q, want %q", got, one.want)
			}
		})
	}
}

// TestBuildMemory: an archive passes through in pieces. While 256 MiB are built, the heap in use is sampled
// after forced collections; what it grows by must stay far below the archive, and below 64 MiB.
func TestBuildMemory(t *testing.T) {
	c := newCatalog(t)
	path := filepath.Join(t.TempDir(), "big.tar.gz")
	file, err := os.Create(path)
	check(t, err)
	compressed, err := gzip.NewWriterLevel(file, flate.NoCompression)
	check(t, err)
	writer := tar.NewWriter(compressed)
	const size = 256 << 20
	check(t, writer.WriteHeader(&tar.Header{Name: "big.bin", Mode: 0o644, Size: size, Typeflag: tar.TypeReg}))
	_, err = io.CopyN(writer, rand.NewChaCha8([32]byte{1}), size)
	check(t, errors.Join(err, writer.Close(), compressed.Close(), file.Close()))

	heap := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapInuse + stats.StackInuse
	}
	before := heap()
	var most atomic.Uint64
	done := make(chan struct{})
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		for {
			most.Store(max(most.Load(), heap()))
			select {
			case <-done:
				return
			default:
			}
		}
	}()
	_, err = c.Build(t.Context(),
		Form{Name: "big", OS: "linux", Action: "STORE", Priority: "5", Path: "/x", File: path}, now)
	close(done)
	<-sampled
	check(t, err)
	if grown := int64(most.Load()) - int64(before); grown > 64<<20 {
		t.Errorf("the heap grew by %d MiB while 256 MiB were built", grown>>20)
	}
}

// TestBareName: what is looked for in the archive, as it would be run by a plain name.
func TestBareName(t *testing.T) {
	for line, want := range map[string]string{
		"setup.sh -q": "setup.sh", "setup": "setup", "./setup.sh": "", "/bin/x": "", "A=1 setup.sh": "", `"my setup"`: "", "$X": "", "a;b": "",
	} {
		if got := bareName(line); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}
