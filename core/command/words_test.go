package command

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"enjambre/core"
)

func TestSplitWords(t *testing.T) {
	values := map[string]string{"A": "1 2", "ProgramFiles": `C:\Program Files`, "B_2": "$A"}
	lookup := func(name string) (string, error) {
		value, known := values[name]
		if !known {
			return "", core.Refuse(core.ClassEnv, "%s is not known", name)
		}
		return value, nil
	}
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
			text, errWord := word.expand(lookup, test.os)
			err = errors.Join(err, errWord)
			got = append(got, text)
		}
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, %v; want %q", test.line, got, err, test.want)
		}
	}
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
