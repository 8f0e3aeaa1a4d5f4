package execute

import (
	"testing"

	"enjambre/core"
)

func TestProgram(t *testing.T) {
	for _, c := range []struct {
		target string
		os     core.OS
		want   string
	}{
		{"setup.sh --quiet", core.Linux, "setup.sh"}, {"./bin/setup", core.Linux, "bin/setup"},
		{`"my setup" x`, core.Linux, "my setup"}, {`'$x'`, core.Linux, "$x"}, {"$DIR/setup", core.Linux, ""},
		{`sub\setup.exe /S`, core.Windows, "sub/setup.exe"}, {"%DIR%/setup.exe", core.Windows, ""},
		{`"unfinished`, core.Linux, ""}, {"", core.Linux, ""},
	} {
		if got := Program(c.target, c.os); got != c.want {
			t.Errorf("%q: got %q, want %q", c.target, got, c.want)
		}
	}
}
