//go:build linux

package execute

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/outcome"
)

// TestMain makes the test's binary a shim when it is called as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == ShimCommand {
		if err := Run(JobFolder(os.Args[2:]), os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			if errors.Is(err, ErrNotBegun) {
				os.Exit(NotBegun)
			}
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// patience bounds every wait of these tests.
const patience = 3 * time.Minute

// newJob makes a job with an order and files on its stage: name and content, executable.
func newJob(t *testing.T, order Order, files map[string]string) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "job")
	if err := Make(folder); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		order.Stage = true
		path := filepath.Join(StageFolder(folder), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if target, isLink := strings.CutPrefix(content, "-> "); isLink {
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	order.Package, order.OS, order.Site = 1_700_000_000, core.Linux, "lyon"
	if order.TimeLimit == 0 {
		order.TimeLimit = patience
	}
	if order.Codes == nil {
		order.Codes = outcome.SuccessCodes{0}
	}
	if err := Create(folder, order); err != nil {
		t.Fatal(err)
	}
	return folder
}

// launched starts a job's shim and tells it to begin.
func launched(t *testing.T, program, folder string) *Shim {
	t.Helper()
	shim, err := Launch(program, folder)
	if err == nil {
		err = shim.Begin()
	}
	if err != nil {
		t.Fatal(err)
	}
	return shim
}

// carriedOut runs a job in a shim and returns its result.
func carriedOut(t *testing.T, folder string) Result {
	t.Helper()
	shim := launched(t, os.Args[0], folder)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	state, err := Wait(ctx, folder, shim.Name(), shim)
	if err != nil || state.Phase != Ended {
		t.Fatalf("got phase %s, %v; want %s", state.Phase, err, Ended)
	}
	return state.Result
}

// untilThere is a command that runs until a file is there; or until its folder is gone, so that a test that fails
// leaves nothing that runs.
func untilThere(file string) Order {
	target := fmt.Sprintf("while test -d %s && ! test -e %s; do sleep 0.05; done", filepath.Dir(file), file)
	return Order{Action: core.Execute, Target: target}
}

// short is a result in a line: text, exit code, class, whether installed.
func short(r Result) string {
	exit := "-"
	if r.Exit != nil {
		exit = strconv.Itoa(*r.Exit)
	}
	return fmt.Sprintf("%s %s %s %v", r.Text, exit, r.Class, r.Installed)
}

func TestResults(t *testing.T) {
	t.Setenv("TWO_LINES", "one\ntwo")
	t.Setenv("SPECIAL", "a  b; rm x `id` $(id) & | ^ % ' \" *")
	t.Setenv("BIG", strings.Repeat("x", 100<<10))
	launch := func(target string) Order { return Order{Action: core.Launch, Target: target} }
	execute := func(target string) Order { return Order{Action: core.Execute, Target: target} }
	three := Order{Action: core.Launch, Target: "run 3", Codes: outcome.SuccessCodes{3}}
	script := map[string]string{"run": "#!/bin/sh\nfor a; do printf '<%s>' \"$a\"; done; exit $1 2>/dev/null"}
	print := map[string]string{"run": "#!/bin/sh\nfor a; do printf '<%s>' \"$a\"; done"}
	for _, test := range []struct {
		name   string
		order  Order
		files  map[string]string
		want   string // see short
		detail string // part of it
		output string // part of it
	}{
		{"LAUNCH", launch("run 0"), script, "SUCCESS_0 0  true", "", "<0>"},
		{"LAUNCH fails", launch("run 7"), script, "SUCCESS_7 7  false", "exit code 7 is not among", "<7>"},
		{"LAUNCH, other codes", three, script, "SUCCESS_3 3  true", "", ""},
		{"LAUNCH in a folder", launch("./bin/../bin/run"), map[string]string{"bin/run": "#!/bin/sh\npwd; echo $0"},
			"SUCCESS_0 0  true", "", "/job/stage\n"},
		{"LAUNCH without #!", launch("run x"), map[string]string{"run": "echo plain $1; exit 4"},
			"SUCCESS_4 4  false", "", "plain x"},
		{"LAUNCH words", launch(`run "a  b" 'c "$HOME"' d\ e "" "f\"g\$h" i"j"k $`), print, "SUCCESS_0 0  true", "",
			`<a  b><c "$HOME"><d e><><f"g$h><ijk><$>`},
		{"LAUNCH variables", launch(`run ${SITE} "$SITE-x" $SITE.y '$SITE'`), print, "SUCCESS_0 0  true", "",
			"<lyon><lyon-x><lyon.y><$SITE>"},
		{"LAUNCH a quote", launch(`run "a`), print, "ERR_EXECUTE - E_EXEC false", "not closed", ""},
		{"LAUNCH no program", launch(`"" a`), print, "ERR_EXECUTE - E_EXEC false", "", ""},
		{"LAUNCH nothing runnable", launch("run"), map[string]string{"run": "\x00\x01\x02"},
			"ERR_EXECUTE - E_EXEC false", "cannot be started", ""},
		{"LAUNCH no interpreter", launch("run"), map[string]string{"run": "#!/none/such\n"},
			"ERR_EXECUTE - E_EXEC false", "not on this computer", ""},
		{"LAUNCH a folder", launch("d"), map[string]string{"d/f": ""}, "ERR_EXECUTE - E_EXEC false",
			"not a file", ""},
		{"LAUNCH through a link inside", launch("l"), map[string]string{"l": "-> run", "run": "#!/bin/sh\nexit 5"},
			"SUCCESS_5 5  false", "", ""},
		{"EXECUTE", execute("echo out; echo err >&2; pwd"), nil, "SUCCESS 0  true", "", "out\nerr\n"},
		{"EXECUTE in the stage", execute("tool; pwd"), map[string]string{"tool": "#!/bin/sh\necho tooled"},
			"SUCCESS 0  true", "", "tooled\n"},
		{"EXECUTE fails", execute("exit 9"), nil, "ERR_EXECUTE 9  false", "exit code 9", ""},
		{"EXECUTE not found", execute("no-such-program-here"), nil, "ERR_EXECUTE 127  false", "did not find", ""},
		{"EXECUTE, no input", execute("read line; echo $?"), nil, "SUCCESS 0  true", "", "1\n"},
		{"C01", launch("run ${UNKNOWN}"), print, "ERR_EXECUTE - E_ENV false", "UNKNOWN", ""},
		{"C02", launch("run ${A${B}}"), print, "ERR_EXECUTE - E_ENV false", "nested", ""},
		{"C02 open", launch("run ${A"), print, "ERR_EXECUTE - E_ENV false", "nested", ""},
		{"C03", launch("run $SPECIAL"), print, "SUCCESS_0 0  true", "", "<a  b; rm x `id` $(id) & | ^ % ' \" *>"},
		{"C04", launch("run $TWO_LINES"), print, "ERR_EXECUTE - E_ENV false", "more than one line", ""},
		{"C05", launch("other"), print, "ERR_EXECUTE - E_EXEC false", "no file", ""},
		{"C05 up", launch("../../bin/sh"), print, "ERR_EXECUTE - E_EXEC false", "inside the archive", ""},
		{"C05 absolute", launch("/bin/true"), print, "ERR_EXECUTE - E_EXEC false", "inside the archive", ""},
		{"C06", launch("l"), map[string]string{"l": "-> ../../../../../../../bin/true"},
			"ERR_EXECUTE - E_EXEC false", "cannot be used", ""},
		{"C06 absolute", launch("l"), map[string]string{"l": "-> /bin/true"}, "ERR_EXECUTE - E_EXEC false", "", ""},
		{"C09", launch("run $BIG $BIG"), print, "ERR_EXECUTE - E_EXEC false", "at most 131072", ""},
		{"C14", execute("kill -USR1 $$"), nil, "ERR_EXECUTE - E_EXEC false",
			"signal 10 (user defined signal 1)", ""},
		{"C14 LAUNCH", launch("run"), map[string]string{"run": "#!/bin/sh\nkill -9 $$"},
			"ERR_EXECUTE - E_EXEC false", "signal 9 (killed)", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := newJob(t, test.order, test.files)
			got := carriedOut(t, folder)
			if short(got) != test.want {
				t.Errorf("got %q (%s), want %q", short(got), got.Detail, test.want)
			}
			if !strings.Contains(got.Detail, test.detail) || (got.Detail == "") != got.Installed {
				t.Errorf("detail is %q, want %q in it", got.Detail, test.detail)
			}
			if !strings.Contains(got.Output, test.output) {
				t.Errorf("output is %q, want %q in it", got.Output, test.output)
			}
			if err := Remove(folder); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the folder is there after its removal: %v", err)
			}
		})
	}
}

// TestEnvironment: what the service was started with does not change what a package's programs are. C07, C08.
func TestEnvironment(t *testing.T) {
	folder := newJob(t, Order{Action: core.Execute, Target: "/usr/bin/env; ls -ld $TMPDIR $PKG_DIR; umask"},
		map[string]string{"f": ""})
	for name, value := range map[string]string{
		"PATH": "/evil:" + os.Getenv("PATH"), "LD_PRELOAD": "/evil.so", "DYLD_INSERT_LIBRARIES": "/evil",
		"IFS":          "x",
		"NODE_OPTIONS": "--require=/evil", "BASH_ENV": "/evil", "ENV": "/evil", "PYTHONPATH": "/evil",
		"PERL5OPT": "-Mevil", "RUBYLIB": "/evil", "GCONV_PATH": "/evil", "DISPLAY": ":9", "NOTIFY_SOCKET": "/evil",
		"TMPDIR": "/evil", "ENJAMBRE_X": "evil", "FUNC": "() { evil; }", "http_proxy": "http://proxy", "LANG": "",
		"EMPTY": "", "HOME": "",
	} {
		t.Setenv(name, value)
	}
	before := syscall.Umask(0o077)
	defer syscall.Umask(before)
	got := carriedOut(t, folder).Output
	if strings.Contains(got, "evil") {
		t.Errorf("something evil came through:\n%s", got)
	}
	stage := StageFolder(folder)
	for _, want := range []string{
		"PATH=" + stage + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
		"PKG_DIR=" + stage + "\n",
		"SITE=lyon\n", "TMPDIR=/var/tmp/enjambre-", "http_proxy=http://proxy\n",
		"LANG=C.UTF-8\n",
		"HOME=/", "EMPTY=\n", "drwxrwxrwt", "\n0022\n", "USER=", "LOGNAME=", "SHELL=/", "TERM=",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
	for _, unwanted := range []string{"IFS=", "DISPLAY=", "LD_PRELOAD"} {
		if strings.Contains(got, unwanted) {
			t.Errorf("%q is in:\n%s", unwanted, got)
		}
	}
}

// TestPath: the program comes from the stage, then from the system, never from the service's own path. C07.
func TestPath(t *testing.T) {
	evil := t.TempDir()
	for _, name := range []string{"ls", "onlyevil"} {
		if err := os.WriteFile(filepath.Join(evil, name), []byte("#!/bin/sh\necho evil"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", evil+":"+os.Getenv("PATH"))
	folder := newJob(t, Order{Action: core.Execute, Target: "ls -d /; cat; onlyevil"},
		map[string]string{"cat": "#!/bin/sh\necho from the stage"})
	got := carriedOut(t, folder)
	if !strings.HasPrefix(got.Output, "/\nfrom the stage\n") || *got.Exit != 127 {
		t.Errorf("got %q, exit %d", got.Output, *got.Exit)
	}
}

func TestStore(t *testing.T) {
	to := t.TempDir()
	t.Setenv("WHERE", to)
	files := map[string]string{"a/b": "content", ".dot": "", "l": "-> a/b"}
	got := carriedOut(t, newJob(t, Order{Action: core.Store, Target: "${WHERE}/deep/er"}, files))
	content, err := os.ReadFile(filepath.Join(to, "deep/er/l"))
	if short(got) != "SUCCESS -  true" || err != nil || string(content) != "content" {
		t.Errorf("got %s (%s); %q, %v", short(got), got.Detail, content, err)
	}
	state := t.TempDir()
	for target, class := range map[string]core.Class{
		"${NOWHERE}/x": core.ClassEnv, "relative": core.ClassPath, "/tmp/../etc": core.ClassPath,
		state + "/x": core.ClassPath,
	} {
		order := Order{Action: core.Store, Target: target, Forbidden: []string{state}}
		got := carriedOut(t, newJob(t, order, files))
		if got.Text != "ERR_EXECUTE" || got.Class != class || got.Installed {
			t.Errorf("%s: got %s (%s), want class %s", target, short(got), got.Detail, class)
		}
	}
}
