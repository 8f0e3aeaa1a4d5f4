package ocsapi

import (
	"crypto/ed25519"
	"fmt"
	"testing"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
	"enjambre/server/internal/store"
)

// BenchmarkPrologEnrolled is one contact without news of an enrolled computer that has so many packages to
// install, without the network and the handshake.
func BenchmarkPrologEnrolled(b *testing.B) {
	for _, packages := range []int{0, 10} {
		b.Run(fmt.Sprint(packages, "-packages"), func(b *testing.B) { benchmarkEnrolled(b, packages) })
	}
}

func benchmarkEnrolled(b *testing.B, packages int) {
	l := newLab(b)
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	l.enrolled(device, key)
	certificate := l.certified("lyon", device, key, now)
	system := ocs.Field{Name: "OSNAME", Value: "Debian GNU/Linux"}
	if got := l.postAs(certificate, inventory(system)); got.Code != 200 {
		b.Fatal(got.Code)
	}
	for range packages {
		l.affected(device)
	}
	l.touches = make(chan store.Touch, 1)
	l.handler.touch = l.touches
	document := ocs.Prolog{Contact: ocs.ContactID{2}, Last: ocs.ContactID{1}}.Append(nil, device)
	l.postAs(certificate, document) // the packages become NOTIFIED
	check(b, l.store.Touch(b.Context(), []store.Touch{<-l.touches}))
	b.ReportAllocs()
	for b.Loop() {
		if got := l.postAs(certificate, document); got.Code != 200 {
			b.Fatal(got.Code)
		}
		<-l.touches
	}
}

// affected makes a package for Linux and affects it to the device.
func (l *lab) affected(device core.DeviceID) core.PackageID {
	l.Helper()
	id, err := l.store.ReserveID(l.Context(), now)
	check(l, err)
	check(l, l.store.AddPackage(l.Context(), store.Package{
		ID: id, Name: "p", OS: core.Linux, Priority: 5, Action: core.Execute, Target: "true", Protocol: "HTTPS",
		SuccessCodes: outcome.SuccessCodes{0}, InfoDigest: core.DigestOf([]byte(id.String())), Built: now,
	}))
	_, err = l.store.AddActivation(l.Context(),
		store.Activation{Package: id, InfoURL: "deploy.example.net/download",
			FragmentsURL: "deploy.example.net/download", Created: now})
	check(l, err)
	_, err = l.store.Affect(l.Context(), store.Target{Package: id},
		store.Selection{Devices: []core.DeviceID{device}}, store.AffectOptions{}, now)
	check(l, err)
	return id
}
