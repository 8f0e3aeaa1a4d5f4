package archive

import (
	"path"
	"strings"
	"testing"

	"enjambre/core"
)

func TestCleanName(t *testing.T) {
	const accepted = core.Class("")
	long := strings.Repeat("p", MaxPartLength)
	for _, c := range []struct {
		name           string
		linux, windows core.Class
	}{
		{"a", accepted, accepted},
		{"./a", accepted, accepted},
		{"a/b.txt", accepted, accepted},
		{"././a", accepted, accepted},
		{"a//b", accepted, accepted},
		{"a/./b", accepted, accepted},
		{strings.Repeat("ш", 148), core.ClassPath, accepted},
		{strings.Repeat("包", 255), core.ClassPath, accepted},
		{strings.Repeat("包", 256), core.ClassPath, core.ClassPath},
		{strings.Repeat("\U0001f600", 127), core.ClassPath, accepted}, // two units each
		{strings.Repeat("\U0001f600", 128), core.ClassPath, core.ClassPath},
		{strings.Repeat(strings.Repeat("包", 250)+"/", 4) + "a", core.ClassPath, accepted},
		{strings.Repeat(strings.Repeat("包", 250)+"/", 4) + "exe.exe.exe.exe.exe.x", core.ClassPath, core.ClassPath},
		{"...", accepted, core.ClassName},
		{".hidden", accepted, accepted},
		{"..a/a..b", accepted, accepted},
		{" a", accepted, accepted},
		{"été/日本", accepted, accepted},
		{long, accepted, accepted},
		{strings.Repeat("a/", MaxParts-1) + "a", accepted, accepted},
		{strings.Repeat(long+"/", 3) + long, accepted, accepted},

		{"", core.ClassPath, core.ClassPath},
		{".", core.ClassPath, core.ClassPath},
		{"./", core.ClassPath, core.ClassPath},
		{"..", core.ClassPath, core.ClassPath},
		{"a/", core.ClassPath, core.ClassPath},
		{"a/.", core.ClassPath, core.ClassPath},
		{"././/a", core.ClassPath, core.ClassPath},
		{"/a", core.ClassPath, core.ClassPath},
		{".//a", core.ClassPath, core.ClassPath},
		{"a/..", core.ClassPath, core.ClassPath},
		{`a\b`, core.ClassPath, core.ClassPath},
		{"C:", core.ClassPath, core.ClassPath},
		{"C:/x", core.ClassPath, core.ClassPath},
		{`c:\x`, core.ClassPath, core.ClassPath},
		{"a\x80", core.ClassPath, core.ClassPath},
		{long + "p", core.ClassPath, core.ClassPath},
		{strings.Repeat("a/", MaxParts) + "a", core.ClassPath, core.ClassPath},
		{strings.Repeat(long+"/", 4) + "a", core.ClassPath, core.ClassPath},

		{"a\x00b", core.ClassName, core.ClassName},
		{"a\x7f", core.ClassName, core.ClassName},
		{"a\u0085", core.ClassName, core.ClassName},
		{"a\u2066b", core.ClassName, core.ClassName},
		{"a\ufeff", core.ClassName, core.ClassName},
		{"a\u2028b", core.ClassName, core.ClassName},

		{"c:x", accepted, core.ClassName},
		{"a:b", accepted, core.ClassName},
		{"a<", accepted, core.ClassName},
		{"a>b", accepted, core.ClassName},
		{`"a"`, accepted, core.ClassName},
		{"a|b", accepted, core.ClassName},
		{"why?", accepted, core.ClassName},
		{"*", accepted, core.ClassName},
		{"a.", accepted, core.ClassName},
		{"a /b", accepted, core.ClassName},
		{"nul", accepted, core.ClassName},
		{"Con.tar.gz", accepted, core.ClassName},
		{"aux .txt", accepted, core.ClassName},
		{"a/PRN/b", accepted, core.ClassName},
		{"com0", accepted, core.ClassName},
		{"COM³", accepted, core.ClassName},
		{"lpt9.x", accepted, core.ClassName},
		{"CONIN$", accepted, core.ClassName},
		{"conout$.log", accepted, core.ClassName},
		{"console", accepted, accepted},
		{"com10", accepted, accepted},
		{"com", accepted, accepted},
		{"nul_", accepted, accepted},
		{"COM⁴", accepted, accepted},

		{"progra~1", accepted, core.ClassName},
		{"a/TEXT~12.TXT/b", accepted, core.ClassName},
		{"~1", accepted, core.ClassName},
		{"a~b", accepted, accepted},
		{"a~", accepted, accepted},
		{"a~1b", accepted, accepted},
		{"longername~1", accepted, accepted},
		{"a~1.config", accepted, accepted},
	} {
		for os, want := range map[core.OS]core.Class{core.Linux: c.linux, core.Windows: c.windows} {
			clean, err := CleanName(c.name, os)
			if class := core.ClassOf(err); class != want || (err == nil) != (want == accepted) {
				t.Errorf("CleanName(%.40q, %s): class %q, want %q; %v", c.name, os, class, want, err)
			}
			if err == nil && clean != path.Clean(c.name) {
				t.Errorf("CleanName(%.40q, %s) = %q", c.name, os, clean)
			}
		}
	}
}

func TestLinkTargets(t *testing.T) {
	seen := newTree(core.Linux)
	for name, typ := range map[string]Type{
		"file": File, "dir/file": File, "dir/sub/file": File,
		"up": Symlink, "dir/in": Symlink, "dir/sub/out": Symlink,
	} {
		if _, err := seen.put(strings.Split(name, "/"), typ); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, target string
		accepted     bool
	}{
		{"l", "file", true},
		{"l", "dir/sub", true},
		{"l", "dir/sub/", true},
		{"l", "./dir//sub/.", true},
		{"l", "missing/x", true},
		{"l", "dir/..", true},
		{"l", ".", true},
		{"l", "l", true}, // turns in a circle, and stays inside
		{"l", "up", true},
		{"l", "dir/in", true},
		{"dir/l", "..", true},
		{"dir/l", "../file", true},
		{"dir/sub/l", "../../dir/in", true},
		{"dir/l", "a:b", true},

		{"l", "", false},
		{"l", "..", false},
		{"l", "../x", false},
		{"l", "dir/../..", false},
		{"l", "missing/../../x", false},
		{"l", "/", false},
		{"l", "//x", false},
		{"l", `..\x`, false},
		{"l", "a\nb", false},
		{"l", "a\u202eb", false},
		{"l", "a\xff", false},
		{"l", strings.Repeat("a", MaxNameLength+1), false},
		{"dir/l", "../..", false},
		{"l", "up/x", false},
		{"l", "up/..", false},
		{"l", "up/./..", false},
		{"l", "dir/in/../../x", false},
		{"dir/sub/l", "out/../file", false},
	} {
		err := seen.checkTarget(c.name, c.target)
		if (err == nil) != c.accepted || !c.accepted && core.ClassOf(err) != core.ClassLink {
			t.Errorf("%s -> %.40q: got %v, want accepted %v", c.name, c.target, err, c.accepted)
		}
	}
}
