package inventory

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func installed(name, version string) string {
	return fmt.Sprintf("Package: %s\nStatus: install ok installed\nVersion: %s\n", name, version)
}

func TestParseDpkg(t *testing.T) {
	long := strings.Repeat("x", 3*maxLine)
	for _, c := range []struct {
		name, text string
		most       int
		want       []program
		cut        bool
	}{
		{name: "empty", most: 9},
		{name: "two", text: installed("a", "1") + "\n\n" + installed("b", "2"), most: 9,
			want: []program{{name: "a", version: "1"}, {name: "b", version: "2"}}},
		{name: "not installed", most: 9,
			text: "Package: a\nStatus: deinstall ok config-files\n\nPackage: b\nStatus: install ok half-installed\n\nPackage: c\n"},
		{name: "names that are none", most: 9,
			text: installed("../../etc", "1") + "\n" + installed("", "1") + "\n" + installed(".a", "1")},
		{name: "fields in another case and order", most: 9,
			text: "VERSION: 1\r\nstatus: install ok installed\r\npackage: a\r\n",
			want: []program{{name: "a", version: "1"}}},
		{name: "a continuation is not a field", most: 9, text: installed("a", "1") + "Description: d\n Version: 2\n",
			want: []program{{name: "a", version: "1", comments: "d"}}},
		{name: "a line too long", most: 9, text: "Depends: " + long + "\n" + installed("a", "1") + "\n" + installed("b", "2"),
			want: []program{{name: "a", version: "1"}, {name: "b", version: "2"}}},
		{name: "too many", most: 1, text: installed("a", "1") + "\n" + installed("b", "2"),
			want: []program{{name: "a", version: "1"}}, cut: true},
		{name: "a size that is none", most: 9, text: installed("a", "1") + "Installed-Size: -5\n",
			want: []program{{name: "a", version: "1"}}},
	} {
		got, cut, err := parseDpkg(strings.NewReader(c.text), c.most)
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(program{})); diff != "" || cut != c.cut || err != nil {
			t.Errorf("%s: cut %t, %v (-want +got):\n%s", c.name, cut, err, diff)
		}
	}
}

func TestParseDpkgFails(t *testing.T) {
	broken := errors.New("disk error")
	half := io.MultiReader(strings.NewReader(installed("a", "1")+"\n"), iotest.ErrReader(broken))
	if got, _, err := parseDpkg(half, 9); !errors.Is(err, broken) || got != nil {
		t.Errorf("got %v, %v: half a list looks like programs that were removed", got, err)
	}
	if _, _, err := parseDpkg(endless{}, 9); err == nil {
		t.Error("an endless file was accepted")
	}
}

// endless is one line without an end.
type endless struct{}

func (endless) Read(into []byte) (int, error) {
	for i := range into {
		into[i] = 'x'
	}
	return len(into), nil
}

func FuzzDpkg(f *testing.F) {
	f.Add(installed("a", "1") + "\n" + installed("b", "2"))
	f.Add("Package: a\n Status: x\nStatus: install ok installed\nMulti-Arch: same\nInstalled-Size: 99999999999999999999\n")
	f.Add("Depends: " + strings.Repeat("y", maxLine) + "\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		whole, cut, err := parseDpkg(strings.NewReader(text), 5)
		if err != nil || len(whole) > 5 || cut && len(whole) != 5 {
			t.Fatalf("%d programs, cut %t, %v", len(whole), cut, err)
		}
		for _, one := range whole {
			if !validPackage(one.name) || strings.ContainsAny(one.name, "/\x00") || one.bytes < 0 {
				t.Fatalf("got %+v", one)
			}
		}
		bytewise, _, err := parseDpkg(iotest.OneByteReader(strings.NewReader(text)), 5)
		if diff := cmp.Diff(whole, bytewise, cmp.AllowUnexported(program{})); diff != "" || err != nil {
			t.Fatalf("read byte by byte: %v\n%s", err, diff)
		}
	})
}

func FuzzRPM(f *testing.F) {
	f.Add("second\t(none)\t1.2-3\tnoarch\t(none)\t1795521109\t0\tA test\twith tab\n")
	f.Add("a\t1\t2\t3\t4\t99999999999999999999\t-1\t\n\t\t\t\t\t\t\t\n")
	f.Fuzz(func(t *testing.T, output string) {
		programs, cut := parseRPM(output, 3)
		if len(programs) > 3 || cut && len(programs) != 3 {
			t.Fatalf("%d programs, cut %t", len(programs), cut)
		}
		for _, one := range programs {
			if one.name == "" || one.bytes < 0 || strings.Contains(one.name+one.version+one.architecture, "\t") {
				t.Fatalf("got %+v", one)
			}
		}
	})
}

func TestParseRPM(t *testing.T) {
	output := "bash\t(none)\t5.1.8-9.el9\tx86_64\tRed Hat, Inc.\t1700000000\t7738634\tThe GNU\tBourne shell\n" +
		"gpg-pubkey\t(none)\t1-1\t(none)\t(none)\t1\t0\tkey\nnonsense\n" +
		"dbus\t1\t1.12-8\tx86_64\t(none)\tx\t-1\t(none)\n"
	want := []rpmProgram{
		{program{name: "bash", version: "5.1.8-9.el9", architecture: "x86_64", publisher: "Red Hat, Inc.",
			comments: "The GNU\tBourne shell", bytes: 7738634}, time.Unix(1700000000, 0)},
		{program{name: "dbus", version: "1:1.12-8", architecture: "x86_64"}, time.Time{}},
	}
	got, cut := parseRPM(output, 2)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(rpmProgram{}, program{})); diff != "" || cut {
		t.Errorf("cut %t (-want +got):\n%s", cut, diff)
	}
	if got, cut := parseRPM(output, 1); len(got) != 1 || !cut {
		t.Errorf("got %v, cut %t", got, cut)
	}
}
