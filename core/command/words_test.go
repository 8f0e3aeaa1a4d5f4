//go:build linux

package execute

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"enjambre/core"
)

func TestSplitWords(t *testing.T) {
	env := &environment{values: map[string]string{"A": "1 2", "PROGRAMFILES": `C:\Program Files`, "B_2": "$A"}}
	for _, test := range []struct {
		line string
		os   core.OS
		want []string
	}{
		{"", core.Linux, nil},
		{"  a \t b ", core.Linux, []string{"a", "b"}},
		{`$A"$A"'$A'\$A`, core.Linux, []string{"1 21 2$A$A"}},
		{`$B_2 ${B_2}x`, core.Linux, []string{"$A", "$Ax"}},
		{`a$ $1 $- "$"`, core.Linux, []string{"a$", "$1", "$-", "$"}},
		{`"$"A $"A"`, core.Linux, []string{"$A", "$A"}},
		{`"\a\\\"" \é`, core.Linux, []string{`\a\"`, "é"}},
		{`setup.exe /S "/D=%ProgramFiles%\x y" 100% '`, core.Windows,
			[]string{"setup.exe", "/S", `/D=C:\Program Files\x y`, "100%", "'"}},
	} {
		words, err := splitWords(test.line, test.os)
		var got []string
		for _, word := range words {
			text, errWord := word.expand(lookup(env, test.os), test.os)
			err = errors.Join(err, errWord)
			got = append(got, text)
		}
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, %v; want %q", test.line, got, err, test.want)
		}
	}
}

// lookup lets names of Windows be found on this system.
func lookup(env *environment, os core.OS) *environment {
	if os != core.Windows {
		return env
	}
	return &environment{values: map[string]string{"ProgramFiles": env.values["PROGRAMFILES"]}}
}

// FuzzSplitWords holds the splitting to the shell's, where the line has nothing else that a shell minds.
func FuzzSplitWords(f *testing.F) {
	for _, seed := range []string{`a b`, `"a b"'c'd`, `\ a "\"" ""`, `'a`, `a\`, `"\a"`, "a\tb", `a""b ''`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := splitWords(line, core.Linux)
		if strings.Trim(line, "ab \t'\"\\") != "" || len(line) > 100 {
			return // it must not panic
		}
		var got strings.Builder
		for _, word := range words {
			for _, piece := range word {
				got.WriteString(piece.text)
			}
			got.WriteString("\x00")
		}
		script := "for a in " + line + "\ndo printf '%s\\0' \"$a\"; done"
		output, errShell := exec.Command("/bin/sh", "-c", script).Output()
		if strings.HasSuffix(strings.ReplaceAll(line, `\\`, ""), `\`) {
			return // the shell goes on in the next line
		}
		if (err == nil) != (errShell == nil) || err == nil && got.String() != string(output) {
			t.Errorf("%q: got %q, %v; the shell says %q, %v", line, got.String(), err, output, errShell)
		}
	})
}

// TestBatch: values that a batch file would read as something else are refused. C10.
func TestBatch(t *testing.T) {
	for _, test := range []struct {
		program, arg string
		class        core.Class
	}{
		{"setup.bat", "/S plain", ""}, {"a/setup.CMD", "x&calc", core.ClassExec}, {"x.cmd", `a"b`, core.ClassExec},
		{"x.bat", "%PATH%", core.ClassExec}, {"setup.exe", "x&calc", ""}, {"bat", `"`, ""},
	} {
		if got := core.ClassOf(checkBatch(test.program, []string{"first", test.arg})); got != test.class {
			t.Errorf("%s %s: got class %q, want %q", test.program, test.arg, got, test.class)
		}
	}
}
