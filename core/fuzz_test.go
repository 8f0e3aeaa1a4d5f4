package core

import "testing"

// FuzzParse: what a Parse function of the words accepts has one spelling, and is fit to be shown.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"1700000001", "host01-2026-11-22-07-01-40", "lyon", "10", "LAUNCH", "windows",
		DigestOf(nil).String()} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := ParsePackageID(text); err == nil && id.String() != text {
			t.Errorf("package ID %q is also %q", text, id)
		}
		if digest, err := ParseDigest(text); err == nil && digest.String() != text {
			t.Errorf("digest %q is also %q", text, digest)
		}
		if device, err := ParseDeviceID(text); err == nil && (string(device) != text || !Printable(text)) {
			t.Errorf("device ID %q became %q", text, device)
		}
		if site, err := ParseSiteName(text); err == nil && string(site) != text {
			t.Errorf("site %q became %q", text, site)
		}
		if priority, err := ParsePriority(text); err == nil && priority.String() != text {
			t.Errorf("priority %q is also %q", text, priority)
		}
	})
}
