package ocsapi

import (
	"crypto/ed25519"
	"fmt"
	"net/netip"
	"testing"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
	"enjambre/server/internal/site"
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

// BenchmarkPrologMember is the contact of an enrolled computer that listens, at a site of 100 members that is
// told by networks, of which there are 64.
func BenchmarkPrologMember(b *testing.B) {
	l := newLab(b)
	l.online(keyOf(7), publicOf(keyOf(7)))
	check(b, l.store.SetSite(b.Context(), "lyon", func(one *site.Site) error {
		for i := range site.MaxNetworks {
			one.Networks = append(one.Networks, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i)}), 16))
		}
		return nil
	}))
	var members []core.DeviceID
	keys := map[core.DeviceID]ed25519.PrivateKey{}
	prolog := ocs.Prolog{Listen: netip.MustParseAddrPort("10.1.0.7:4001"), Weight: 2}
	for i := range 100 {
		one := core.DeviceID(fmt.Sprintf("m%d-2026-01-31-08-00-00", i))
		members, keys[one] = append(members, one), keyOf(byte(i+9))
		l.enrolled(one, keys[one])
		l.from("10.1.0.7:999", one, keys[one], prolog)
	}
	certificate := l.certified("lyon", members[0], keys[members[0]], now)
	document := prolog.Append(nil, members[0])
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
