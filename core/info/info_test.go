package info

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/outcome"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func plan(t testing.TB, size, fragmentSize int64) fragment.Plan {
	t.Helper()
	made, err := fragment.NewPlan(size, fragmentSize)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// examples are one info of each action, the last with every attribute.
func examples(t testing.TB) map[string]*Info {
	issued := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	return map[string]*Info{
		"execute": {
			ID: 1700000004, OS: core.Linux, Priority: 5, Action: core.Execute, Protocol: HTTP,
			Target: `pwd > /opt/demo/exec.txt; echo "$HOME" && ls -a`, ExecTime: DefaultExecTime,
			Issued: issued, Deployment: "deploy.example.net",
		},
		"store": {
			ID: 1700000001, OS: core.Linux, Priority: 0, Action: core.Store, Protocol: HTTP, Target: "/opt/demo/store/a/b",
			Archive: &Archive{
				Plan:     plan(t, 40_000, 16<<10),
				MD5:      [16]byte{1, 2, 3},
				Digest:   core.DigestOf([]byte("archive")),
				Digests:  core.DigestOf([]byte("digests")),
				Unpacked: 100_000,
				Entries:  3,
			},
			ExecTime: DefaultExecTime, Issued: issued, Deployment: "deploy.example.net",
		},
		"launch-everything": {
			ID: 1700000002, OS: core.Windows, Priority: 10, Action: core.Launch, Protocol: HTTPS,
			Target: `setup.exe /S /D=%ProgramFiles%\Demo "a & b"`,
			Archive: &Archive{Plan: plan(t, 1, 16<<20), Digest: core.DigestOf(nil), Digests: core.DigestOf(nil),
				Unpacked: MaxUnpacked, Entries: 1},
			Notice: Notice{
				Text:      "Demo wird installiert.\nBitte <speichern> & \"schließen\".",
				Countdown: time.Minute,
				MayCancel: true,
				MayDelay:  true,
				MaxDelays: 3,
			},
			Completion: "Fertig.", SuccessCodes: outcome.SuccessCodes{0, 7}, ExecTime: 90 * time.Second, Interactive: true,
			Retry: true, NotBefore: issued.Add(time.Hour), NoSwarm: true, Issued: issued, Deployment: "Büro",
		},
	}
}

func TestGolden(t *testing.T) {
	for name, example := range examples(t) {
		t.Run(name, func(t *testing.T) {
			if err := example.Check(); err != nil {
				t.Fatal(err)
			}
			got := example.Canonical()
			file := filepath.Join("testdata", "golden-"+name+".xml")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			again, err := Parse(got)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(example, again, cmp.AllowUnexported(fragment.Plan{})); diff != "" {
				t.Errorf("round trip (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseStock(t *testing.T) {
	want := map[string]Stock{
		"07-info-store-3-fragments.xml": {
			ID:        1700000001,
			Priority:  5,
			Action:    core.Store,
			Target:    "/opt/demo/store/a/b",
			Digest:    "b1138f87f93de82edee7a32ad50f38aa",
			Fragments: 3,
		},
		"07-info-launch.xml": {ID: 1700000002, Priority: 5, Action: core.Launch, Target: "run.sh --opt a b",
			Digest: "b13bb7cb71be79caa0a62fb6624cd73a", Fragments: 1},
		"07-info-execute-no-files.xml": {ID: 1700000004, Priority: 5, Action: core.Execute,
			Target: "pwd > /opt/demo/exec.txt; echo $HOME >> /opt/demo/exec.txt; ls -a >> /opt/demo/exec.txt"},
		"07-info-bad-digest.xml": {ID: 1700000006, Priority: 5, Action: core.Store, Target: "/opt/demo/bad",
			Digest: strings.Repeat("0", 32), Fragments: 1},
	}
	for name, expected := range want {
		expected.DigestAlgorithm, expected.DigestEncoding, expected.Protocol = "MD5", "Hexa", HTTP
		document, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseStock(document)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(expected, *got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if _, err := Parse(document); err == nil {
			t.Errorf("%s: a stock server's file passes for one of ours", name)
		}
	}
	for name, example := range examples(t) {
		if _, err := ParseStock(example.Canonical()); err != nil {
			t.Errorf("%s: our own file: %v", name, err)
		}
	}
}

// TestRefusals changes one thing in a good file; corpus F as far as it concerns the info file.
func TestRefusals(t *testing.T) {
	good := string(examples(t)["store"].Canonical())
	cases := []struct {
		name, old, new string
		class          core.Class
	}{
		{"F01 FRAGS 0 with archive", `FRAGS="3"`, `FRAGS="0"`, core.ClassField},
		{"F02 FRAGS 65537", `FRAGS="3"`, `FRAGS="65537"`, core.ClassLimit},
		{"F03 FRAGS -1", `FRAGS="3"`, `FRAGS="-1"`, core.ClassLimit},
		{"F03 FRAGS with blanks", `FRAGS="3"`, `FRAGS=" 3 "`, core.ClassLimit},
		{"F03 FRAGS in hex", `FRAGS="3"`, `FRAGS="0x3"`, core.ClassLimit},
		{"F03 FRAGS 10^20", `FRAGS="3"`, `FRAGS="100000000000000000000"`, core.ClassLimit},
		{"F03 FRAGS with a leading zero", `FRAGS="3"`, `FRAGS="03"`, core.ClassCanon},
		{"F04 fragment size 0", `FRAG_SIZE="16384"`, `FRAG_SIZE="0"`, core.ClassLimit},
		{"F04 fragment size 17 MiB", `FRAG_SIZE="16384"`, `FRAG_SIZE="17825792"`, core.ClassLimit},
		{"F05 count does not fit the size", `FRAGS="3"`, `FRAGS="4"`, core.ClassLimit},
		{"no fragment count", ` FRAGS="3"`, ``, core.ClassLimit},
		{"attributes swapped", `ID="1700000001" PRI="0"`, `PRI="0" ID="1700000001"`, core.ClassCanon},
		{"other quotes", `PRI="0"`, `PRI='0'`, core.ClassCanon},
		{"unknown attribute", ` OS="linux"`, ` OS="linux" EXTRA="1"`, core.ClassCanon},
		{"default written out", ` ISSUED=`, ` EXEC_SECONDS="7200" ISSUED=`, core.ClassCanon},
		{"flag that is neither 0 nor 1", `NOTIFY_USER="0"`, `NOTIFY_USER="2"`, core.ClassCanon},
		{"comment", `<DOWNLOAD`, `<!-- --><DOWNLOAD`, core.ClassCanon},
		{"no line end", "/>\n", "/>", core.ClassCanon},
		{"child", " />\n", "><X/></DOWNLOAD>\n", core.ClassXML},
		{"X09 duplicate ID", `ID="1700000001"`, `ID="1700000001" ID="1700000001"`, core.ClassXML},
		{"X10 prefixed ID", `ID="1700000001"`, `a:ID="1700000001"`, core.ClassXML},
		{"another root", "<DOWNLOAD", "<UPLOAD", core.ClassXML},
		{"no deployment", ` DEPLOYMENT="deploy.example.net"`, "", core.ClassField},
		{"unknown action", `ACT="STORE"`, `ACT="DELETE"`, core.ClassField},
		{"MD5 cut", `DIGEST="0102`, `DIGEST="02`, core.ClassField},
		{"upper-case digest", "DIGESTS=\"", "DIGESTS=\"A", core.ClassField},
		{"time with a zone", "08:00:00Z", "08:00:00+00:00", core.ClassCanon},
		{"no time", "2026-11-24T08:00:00Z", "yesterday", core.ClassField},
		{"target empty", `PATH="/opt/demo/store/a/b"`, `PATH=""`, core.ClassField},
		{"control character in target", `/a/b`, "/a&#x9B;b", core.ClassField},
		{"codes unsorted", ` ISSUED=`, ` SUCCESS_CODES="7,0" ISSUED=`, core.ClassCanon},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			document := strings.Replace(good, c.old, c.new, 1)
			if document == good {
				t.Fatalf("the file does not hold %q", c.old)
			}
			if _, err := Parse([]byte(document)); core.ClassOf(err) != c.class {
				t.Errorf("got %v, want %s", err, c.class)
			}
		})
	}
}

func TestCheckNamesEveryMistake(t *testing.T) {
	err := (&Info{Notice: Notice{MayCancel: true}, Completion: strings.Repeat("x", MaxNotice+1)}).Check()
	if err == nil {
		t.Fatal("the zero Info passes")
	}
	for _, name := range []string{"ID:", "OS:", "ACT:", "PROTO:", "PATH:", "NOTIFY_USER:", "NEED_DONE_ACTION_TEXT:", "EXEC_SECONDS:", "DEPLOYMENT:", "ISSUED:"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not mentioned in:\n%v", name, err)
		}
	}
}

// TestRoundTrip: whatever passes Check reads back as itself.
func TestRoundTrip(t *testing.T) {
	texts := rapid.StringMatching(`[a-zé<>&"'%$\\/ \n\t-]{0,40}`)
	rapid.Check(t, func(r *rapid.T) {
		info := &Info{
			ID: core.PackageID(
				rapid.Int64Range(1, 1<<40).Draw(r, "id"),
			), OS: rapid.SampledFrom([]core.OS{core.Linux, core.Windows}).Draw(r, "os"),
			Priority: core.Priority(rapid.IntRange(0, 10).Draw(r, "priority")),
			Action:   rapid.SampledFrom([]core.Action{core.Launch, core.Execute, core.Store}).Draw(r, "action"),
			Target: strings.TrimSpace(
				"x" + texts.Draw(r, "target"),
			), Protocol: rapid.SampledFrom([]Protocol{HTTP, HTTPS}).Draw(r, "protocol"),
			Completion: texts.Draw(r,
				"completion"), ExecTime: time.Duration(rapid.IntRange(1, 604_800).Draw(r, "exec")) * time.Second,
			Interactive: rapid.Bool().
				Draw(r, "interactive"),
			Retry: rapid.Bool().Draw(r, "retry"), NoSwarm: rapid.Bool().Draw(r, "no swarm"),
			Issued: time.Unix(rapid.Int64Range(1, 1<<34).Draw(r, "issued"), 0).UTC(), Deployment: "d",
		}
		if text := texts.Draw(r, "notice"); text != "" {
			info.Notice = Notice{
				Text:      text,
				Countdown: time.Duration(rapid.IntRange(0, 86_400).Draw(r, "countdown")) * time.Second,
			}
			if info.Notice.MayDelay = rapid.Bool().Draw(r, "delay"); info.Notice.MayDelay {
				info.Notice.MaxDelays = rapid.IntRange(1, 100).Draw(r, "delays")
			}
		}
		if info.Action.NeedsArchive() {
			info.Archive = &Archive{Plan: plan(t, rapid.Int64Range(1, 1<<30).Draw(r, "size"), 1<<20), Entries: 1}
		}
		if err := info.Check(); err != nil {
			r.Fatal(err)
		}
		again, err := Parse(info.Canonical())
		if err != nil {
			r.Fatalf("%v\n%s", err, info.Canonical())
		}
		if diff := cmp.Diff(info, again, cmp.AllowUnexported(fragment.Plan{})); diff != "" {
			r.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// FuzzParse: an accepted document is the one spelling of what it says.
func FuzzParse(f *testing.F) {
	for _, example := range examples(f) {
		f.Add(example.Canonical())
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		info, err := Parse(document)
		if err != nil {
			if core.ClassOf(err) == "" {
				t.Fatalf("error without class: %v", err)
			}
			return
		}
		if !bytes.Equal(info.Canonical(), document) {
			t.Fatalf("two spellings:\n%s\n%s", document, info.Canonical())
		}
	})
}

func FuzzParseStock(f *testing.F) {
	files, err := filepath.Glob("testdata/07-*.xml")
	if err != nil || len(files) == 0 {
		f.Fatalf("samples: %v, %v", files, err)
	}
	for _, file := range slices.Sorted(slices.Values(files)) {
		document, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(document)
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		stock, err := ParseStock(document)
		if err == nil &&
			(stock.ID == 0 || stock.Fragments > core.MaxFragments || stock.Priority > core.MaxPriority) {
			t.Fatalf("accepted %+v", stock)
		}
	})
}
