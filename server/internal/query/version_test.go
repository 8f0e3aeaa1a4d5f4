package query

import (
	"testing"

	"pgregory.net/rapid"
)

func TestCompareVersions(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"140.0.1", "140.0.1", 0},
		{"140.0.1", "140.0.2", -1},
		{"140.0.1", "139.9", 1},
		{"9.1", "9.10", -1},
		{"140", "140.0", -1},
		{"1.01", "1.1", 0},
		{"1.0", "1.0-0", 0},
		{" 1.0 ", "1.0", 0},
		{"5.2.15-2+b8", "5.2.15-2", 1},
		{"5.2.15-2+b8", "5.2.15-10", -1},
		{"5.2.15-2+b8", "5.2.15-2+b10", -1},
		{"1:2.3~rc1", "2.9", 1},
		{"0:2.9", "2.9", 0},
		{"1:2.3~rc1", "1:2.3", -1},
		{"2.3~~", "2.3~", -1},
		{"2.3~", "2.3", -1},
		{"2.3", "2.3a", -1},
		{"2.3a", "2.3+", -1},
		{"2.3a", "2.3.", -1},
		{"2024.10", "2024.9", 1},
		{"2024-10-01", "2024-9-30", 1},
		{"9.1-1", "9.1", 1},
		{"9.1-~1", "9.1", -1},
		{"1.0-rc1", "1.0", 1},
		{"10.0.22631.4460", "10.0.22631.4391", 1},
		{"100000000000000000000000", "99999999999999999999999", 1},
		{"100000000000000000000000:1", "99999999999999999999999:2", 1},
		{"", "0", 0},
		{"", "1", -1},
		{"beta", "1", 1},
		{":1", "1", 1},
		{"v1.2", "v1.10", -1},
	} {
		if got := CompareVersions(test.a, test.b); got != test.want {
			t.Errorf("CompareVersions(%q, %q): got %d, want %d", test.a, test.b, got, test.want)
		}
		if got := CompareVersions(test.b, test.a); got != -test.want {
			t.Errorf("CompareVersions(%q, %q): got %d, want %d", test.b, test.a, got, -test.want)
		}
	}
}

// TestVersionsAreOrdered draws from few characters, so that equal and nearly equal ones are common.
func TestVersionsAreOrdered(t *testing.T) {
	version := rapid.OneOf(
		rapid.StringMatching(`([0-2]:)?[0-2a~.+:-]{0,6}(-[0-1~a]{0,3})?`),
		rapid.String(),
	)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := version.Draw(t, "a"), version.Draw(t, "b"), version.Draw(t, "c")
		ab, bc, ac := CompareVersions(a, b), CompareVersions(b, c), CompareVersions(a, c)
		if CompareVersions(a, a) != 0 {
			t.Fatalf("%q is not equal to itself", a)
		}
		if ab < -1 || ab > 1 || CompareVersions(b, a) != -ab {
			t.Fatalf("%q and %q compare as %d and %d", a, b, ab, CompareVersions(b, a))
		}
		if ab <= 0 && bc <= 0 && ac > 0 {
			t.Fatalf("%q <= %q <= %q, but the last is before the first", a, b, c)
		}
		if ab == 0 && ac != bc {
			t.Fatalf("%q equals %q, but to %q they are %d and %d", a, b, c, ac, bc)
		}
	})
}
