package core

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParsePackageID(t *testing.T) {
	for _, text := range []string{"1", "1700000001", "999999999999999999"} {
		id, err := ParsePackageID(text)
		if err != nil || id.String() != text {
			t.Errorf("%q: got %v, %v", text, id, err)
		}
	}
	for _, text := range []string{"", "0", "01", "-1", "+1", "1.0", "0x10", " 1", "1e3", "1000000000000000000", "١"} {
		if id, err := ParsePackageID(text); ClassOf(err) != ClassField {
			t.Errorf("%q: got %v, %v", text, id, err)
		}
	}
}

func TestPackageIDIsJSONString(t *testing.T) {
	data, err := json.Marshal(map[PackageID]PackageID{7: 1700000001})
	if err != nil || string(data) != `{"7":"1700000001"}` {
		t.Errorf("got %s, %v", data, err)
	}
	var id PackageID
	if err := json.Unmarshal([]byte(`"12"`), &id); err != nil || id != 12 {
		t.Errorf("got %v, %v", id, err)
	}
}

func TestParseDigest(t *testing.T) {
	digest := DigestOf([]byte("bee"))
	again, err := ParseDigest(digest.String())
	if err != nil || again != digest {
		t.Errorf("got %v, %v", again, err)
	}
	for _, text := range []string{"", digest.String()[1:], strings.ToUpper(digest.String()), strings.Repeat("g", 64)} {
		if _, err := ParseDigest(text); ClassOf(err) != ClassField {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestParseDeviceID(t *testing.T) {
	good := []string{"host01-2026-11-22-07-01-40", "PC-7-2026-01-31-08-00-00", "büro-2026-01-31-08-00-00"}
	for _, text := range good {
		if _, err := ParseDeviceID(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	bad := []string{
		"",
		"host01",
		"-2026-11-22-07-01-40",
		"host-2026-11-22-07-01-4",
		"host-2026-11-22-07-01-4x",
		"host-2026_11-22-07-01-40",
		"ho\nst-2026-11-22-07-01-40",
		"ho\u202est-2026-11-22-07-01-40",
		strings.Repeat("h", 250) + "-2026-11-22-07-01-40",
	}
	for _, text := range bad {
		if _, err := ParseDeviceID(text); ClassOf(err) != ClassField {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestParseSiteName(t *testing.T) {
	for _, text := range []string{"lyon", "paris-2", "1.a_b"} {
		if _, err := ParseSiteName(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"", "Lyon", "-x", ".x", "a b", "ñ", strings.Repeat("a", 65)} {
		if _, err := ParseSiteName(text); ClassOf(err) != ClassField {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestParsePackageWords(t *testing.T) {
	for text, want := range map[string]Class{"0": "", "10": "", "11": ClassLimit, "-1": ClassLimit, "05": ClassLimit, "": ClassLimit} {
		if _, err := ParsePriority(text); ClassOf(err) != want {
			t.Errorf("priority %q: got %v, want %q", text, err, want)
		}
	}
	if _, err := ParseAction("launch"); ClassOf(err) != ClassField {
		t.Errorf("action in lower case: got %v", err)
	}
	if _, err := ParseOS("macos"); ClassOf(err) != ClassField {
		t.Errorf("unknown system: got %v", err)
	}
}

func TestClassOf(t *testing.T) {
	err := fmt.Errorf("read info: %w", Refuse(ClassCanon, "attribute %s", "ID"))
	if ClassOf(err) != ClassCanon || ClassOf(errors.New("x")) != "" || ClassOf(nil) != "" {
		t.Errorf("got %q", ClassOf(err))
	}
	if want := "read info: attribute ID"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}
