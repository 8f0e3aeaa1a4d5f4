package command

import (
	"slices"
	"strings"
	"testing"

	"enjambre/core"
)

// TestProgram: what a line names, or why it is refused.
func TestProgram(t *testing.T) {
	for _, c := range []struct {
		line  string
		os    core.OS
		want  string
		class core.Class
	}{
		{"setup.sh --quiet", core.Linux, "setup.sh", ""},
		{"setup.sh\t--quiet", core.Linux, "setup.sh", ""},
		{"./bin/setup", core.Linux, "bin/setup", ""},
		{`"my setup" x`, core.Linux, "my setup", ""},
		{`my" "setup x`, core.Linux, "my setup", ""},
		{`my\ setup x`, core.Linux, "my setup", ""},
		{`'$x'`, core.Linux, "$x", ""},
		{`a$ b`, core.Linux, "a$", ""},
		{`a\b`, core.Linux, "ab", ""},
		{"$DIR/setup", core.Linux, "", ""},
		{"/bin/sh x", core.Linux, "", core.ClassExec},
		{"../x", core.Linux, "", core.ClassExec},
		{"a/../../x", core.Linux, "", core.ClassExec},
		{`""`, core.Linux, "", core.ClassExec},
		{".", core.Linux, "", core.ClassExec},
		{`"unfinished`, core.Linux, "", core.ClassExec},
		{`it's`, core.Linux, "", core.ClassExec},
		{`x \`, core.Linux, "", core.ClassExec},
		{"", core.Linux, "", core.ClassExec},
		{" \t", core.Windows, "", core.ClassExec},
		{"x ${A", core.Linux, "", core.ClassEnv},
		{"x ${}", core.Linux, "", core.ClassEnv},
		{`x '${A'`, core.Linux, "x", ""},
		{`"my setup.exe" /S`, core.Windows, "my setup.exe", ""},
		{`sub\setup.exe /S`, core.Windows, "sub/setup.exe", ""},
		{`it's.exe`, core.Windows, "it's.exe", ""},
		{`100%.exe`, core.Windows, "100%.exe", ""},
		{"%DIR%/setup.exe", core.Windows, "", ""},
		{`C:\setup.exe`, core.Windows, "", core.ClassExec},
		{`C:setup.exe`, core.Windows, "", core.ClassExec},
		{`\\server\x.exe`, core.Windows, "", core.ClassExec},
		{`..\x.exe`, core.Windows, "", core.ClassExec},
		{`setup.bat /S`, core.Windows, "setup.bat", ""},
		{`sub\setup.CMD a&b`, core.Windows, "", core.ClassExec},
		{`setup.bat %X%`, core.Windows, "setup.bat", ""}, // what it is, is judged when it runs
		{`setup.bat 100%`, core.Windows, "", core.ClassExec},
		{`setup.bat "a b"`, core.Windows, "setup.bat", ""},
	} {
		line, err := Parse(c.line, c.os)
		if core.ClassOf(err) != c.class || (err == nil) != (c.class == "") {
			t.Errorf("%q for %s: got %v, want class %q", c.line, c.os, err, c.class)
			continue
		}
		if err == nil && line.Program() != c.want {
			t.Errorf("%q for %s: got %q, want %q", c.line, c.os, line.Program(), c.want)
		}
	}
}

// TestArguments: values never become two arguments, are bounded, and may be too much for a batch file.
func TestArguments(t *testing.T) {
	for _, c := range []struct {
		line, value string
		os          core.OS
		want        []string
		class       core.Class
	}{
		{`x $V "$V" '$V'`, `a "b" $V`, core.Linux, []string{"x", `a "b" $V`, `a "b" $V`, "$V"}, ""},
		{`x.exe %V%`, "a&b", core.Windows, []string{"x.exe", "a&b"}, ""},
		{`x.bat %V%`, "a&b", core.Windows, nil, core.ClassExec},
		{`%V% a^b`, "x.cmd", core.Windows, nil, core.ClassExec},
		{`x $V$V`, strings.Repeat("v", MaxArguments/2), core.Linux, nil, core.ClassExec},
	} {
		line, err := Parse(c.line, c.os)
		if err != nil {
			t.Fatal(err)
		}
		got, err := line.Arguments(func(string) (string, error) { return c.value, nil })
		if core.ClassOf(err) != c.class || err == nil && !slices.Equal(got, c.want) {
			t.Errorf("%q: got %.99q, %v", c.line, got, err)
		}
	}
}

// TestCheckFolder: what no value of a variable can put right is refused.
func TestCheckFolder(t *testing.T) {
	for _, c := range []struct {
		folder string
		os     core.OS
		class  core.Class
	}{
		{"/opt/x", core.Linux, ""}, {"$HOME/x", core.Linux, ""}, {"/opt/a..b", core.Linux, ""}, {"/opt/$X/y", core.Linux, ""},
		{"/opt/../x", core.Linux, core.ClassPath}, {"$HOME/..", core.Linux, core.ClassPath}, {"..", core.Linux, core.ClassPath},
		{"opt/x", core.Linux, core.ClassPath}, {"opt$X", core.Linux, core.ClassPath}, {"/opt/${X", core.Linux, core.ClassEnv},
		{`/opt/..\x`, core.Linux, ""},
		{`C:\x`, core.Windows, ""}, {`C:/x`, core.Windows, ""}, {`%ProgramFiles%\x`, core.Windows, ""}, {`C:%X%`, core.Windows, ""},
		{`\\server\share`, core.Windows, ""}, {`C:\..\x`, core.Windows, core.ClassPath}, {`%X%/../y`, core.Windows, core.ClassPath},
		{`x\y`, core.Windows, core.ClassPath}, {`/x`, core.Windows, core.ClassPath}, {`C:x`, core.Windows, core.ClassPath},
	} {
		if err := CheckFolder(c.folder, c.os); core.ClassOf(err) != c.class {
			t.Errorf("%q for %s: got %v, want class %q", c.folder, c.os, err, c.class)
		}
	}
}

// FuzzParse holds build and run together: a line that is accepted names the same program after expansion when it has
// no variable there, its arguments only fail for what values are, and a program always stays inside the archive.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`a b`, `"a b"'c'd`, `sub\x.bat "1" %A%`, `$A/x ${B}`, "a\tb", `a"$"b`, `C:x`, `../x`, `a$`} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, text string, windows bool) {
		system := core.Linux
		if windows {
			system = core.Windows
		}
		line, err := Parse(text, system)
		if err != nil {
			if core.ClassOf(err) == "" {
				t.Errorf("%q: %v has no class", text, err)
			}
			return
		}
		args, err := line.Arguments(func(string) (string, error) { return "v", nil })
		if err != nil && len(text) < MaxArguments/2 && !strings.Contains(strings.ToLower(text), ".bat") &&
			!strings.Contains(strings.ToLower(text), ".cmd") {
			t.Errorf("%q was accepted, and then: %v", text, err)
		}
		name := line.Program()
		if name == "" || err != nil {
			return
		}
		if again, err := Inside(args[0], system); err != nil || again != name {
			t.Errorf("%q: build takes %q for the program, run %q, %v", text, name, again, err)
		}
		if name[0] == '/' || name == ".." || strings.HasPrefix(name, "../") {
			t.Errorf("%q names %q", text, name)
		}
	})
}
