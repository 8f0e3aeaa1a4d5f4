package cli

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"enjambre/core/ocs"
	"enjambre/core/seal"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/identity"
	"enjambre/server/internal/store"
)

// TestNextAuthority is T55 from the command line: a certificate that a computer would refuse is not
// installed before that computer has learnt of it.
func TestNextAuthority(t *testing.T) {
	data := filepath.Join(t.TempDir(), "d")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(datafolder.Create(t.Context(), data, identity.Options{Hosts: []string{"a"}, Now: time.Now()}, false))
	folder, err := datafolder.Open(t.Context(), data)
	check(err)
	defer folder.Close()
	const device = "pc-2026-01-01-00-00-00"
	check(folder.Store.AddToken(t.Context(), "t", store.Token{Site: "lyon", Uses: 1, Expires: time.Now().Add(time.Hour)}, time.Now()))
	_, err = folder.Store.Enrol(t.Context(), store.Enrolment{Token: "t", Device: device, Key: seal.KeyID{1}}, time.Now())
	check(err)
	learns := func() {
		t.Helper()
		trust, err := folder.Deployment.Trust()
		check(err)
		check(folder.Store.Touch(t.Context(),
			[]store.Touch{{Device: device, At: time.Now(), Prolog: ocs.Prolog{Trusts: trust.Digest()}}}))
	}
	run := func(code int, text string, args ...string) {
		t.Helper()
		var out bytes.Buffer
		got := Main(append([]string{"tls"}, append(args, "--data", data)...), strings.NewReader(""), &out, &out)
		if got != code || !strings.Contains(out.String(), text) {
			t.Errorf("tls %v: got exit code %d, want %d with %q\n%s", args, got, code, text, &out)
		}
	}
	learns()
	run(exitFailed, "1 of 1 computers seen in the last 30 days would refuse this certificate", "self-signed")
	run(exitDone, "", "next", "--self-signed")
	run(exitDone, "1 of 1 computers seen in the last 30 days still lack it", "show")
	install := []string{"install", "--tls-cert", filepath.Join(data, "tls", "next-ca.pem"), "--tls-key",
		filepath.Join(data, "tls", "next-ca.key")}
	run(exitFailed, "would refuse this certificate", install...)
	learns()
	run(exitDone, "0 of 1 computers seen in the last 30 days still lack it", "show")
	run(exitDone, "", install...)
	run(exitFailed, "would refuse this certificate", "self-signed")
	run(exitDone, "cacert.pem has changed", "self-signed", "--force")
}
