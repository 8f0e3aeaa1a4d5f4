package ocsapi

import (
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/peer/pulse"
	"enjambre/peer/wire"
	"enjambre/server/internal/store"
)

// joined enrols an agent with an inventory at a site, which calls.
func (l *lab) joined(device core.DeviceID, key ed25519.PrivateKey) {
	l.Helper()
	l.enrolled(device, key)
	certificate := l.certified("lyon", device, key, now)
	has := ocs.Inventory{Reported: true, Sections: []ocs.Section{
		{Name: "HARDWARE", Fields: []ocs.Field{{Name: "OSNAME", Value: "Debian GNU/Linux"}}},
	}}
	for _, document := range [][]byte{has.Append(nil, device), ocs.Prolog{}.Append(nil, device)} {
		if got := l.postAs(certificate, document); got.Code != 200 {
			l.Fatal(got.Code)
		}
	}
	<-l.touches // of its call
}

// word signs that an agent has so many of 400 fragments.
func (l *lab) word(key ed25519.PrivateKey, issued time.Time, id core.PackageID, have uint32) []byte {
	l.Helper()
	said := wire.Progress{Issued: issued, Packages: []wire.PackageProgress{
		{Package: id, Phase: ocs.Downloading, Have: have, Of: 400},
	}}
	check(l, said.Sign(key))
	frame, err := wire.Append(nil, said)
	check(l, err)
	return frame
}

// TestSaid: what a reporter passes on is noted for those whose it is; what is not theirs, or of another time, is not,
// and spoils nothing else.
func TestSaid(t *testing.T) {
	a := newAgentLab(t)
	const member, other = core.DeviceID("pc8-2026-01-31-08-00-00"), core.DeviceID("pc9-2026-01-31-08-00-00")
	a.joined(member, keyOf(8))
	a.joined(other, keyOf(9))
	id := a.affected(device)
	for _, one := range []core.DeviceID{member, other} {
		_, err := a.store.Affect(t.Context(), store.Target{Package: id},
			store.Selection{Devices: []core.DeviceID{one}}, store.AffectOptions{}, now)
		check(t, err)
	}
	call := func(device core.DeviceID, key ed25519.PrivateKey) {
		t.Helper()
		if got := a.postAs(a.certified("lyon", device, key, now), ocs.Prolog{}.Append(nil, device)); got.Code != 200 {
			t.Fatal(got.Code)
		}
		<-a.touches
	}
	call(device, keyOf(5))
	call(member, keyOf(8))
	call(other, keyOf(9))
	paris := core.SiteName("paris")
	check(t, a.store.SetComputer(t.Context(), other, &paris, nil))

	good := a.word(keyOf(8), now, id, 7)
	forged := a.word(keyOf(8), now.Add(time.Second), id, 8)
	forged[len(forged)-1] ^= 1
	cut := a.word(keyOf(8), now, id, 8)
	own := ocs.PackageProgress{Package: id, Phase: ocs.Downloading, Have: 120, Of: 400, Problem: "origin: 503"}
	for _, c := range []struct {
		name string
		said [][]byte
		want string // what is noted of others
	}{
		{"nothing", nil, ""},
		{"a word", [][]byte{good}, "7 0s"},
		{"twice, in two ages", [][]byte{good, a.word(keyOf(8), now.Add(-time.Second), id, 6)}, "7 0s"},
		{"twice, the newer one last", [][]byte{a.word(keyOf(8), now.Add(-time.Second), id, 6), good}, "7 0s"},
		{"of another package", [][]byte{a.word(keyOf(8), now, id+1, 7)}, ""},
		{"forged", [][]byte{forged}, ""},
		{"of a computer at another site", [][]byte{a.word(keyOf(9), now, id, 7)}, ""},
		{"of nobody", [][]byte{a.word(keyOf(77), now, id, 7)}, ""},
		{"of the last hour", [][]byte{a.word(keyOf(8), now.Add(-time.Hour), id, 7)}, ""},
		{"just not too old", [][]byte{a.word(keyOf(8), now.Add(-oldSaid), id, 7)}, fmt.Sprint("7 ", -oldSaid)},
		{"too old", [][]byte{a.word(keyOf(8), now.Add(-oldSaid-time.Second), id, 7)}, ""},
		{"of a clock that is ahead", [][]byte{a.word(keyOf(8), now.Add(pulse.MaxAhead), id, 7)}, "7 0s"},
		{"of the future", [][]byte{a.word(keyOf(8), now.Add(pulse.MaxAhead+time.Second), id, 7)}, ""},
		{"cut", [][]byte{cut[:len(cut)-1]}, ""},
		{"no frame", [][]byte{{1}}, ""},
		{"the reporter's own", [][]byte{a.word(keyOf(5), now, id, 3)}, "3 0s"},
		{"a good one among bad ones", [][]byte{
			{1}, a.word(keyOf(9), now, id, 7), good, cut[:9], a.word(keyOf(5), now.Add(-time.Hour), id, 3),
		}, "7 0s"},
	} {
		told := ocs.Progress{Packages: []ocs.PackageProgress{own}, Said: c.said}
		a.say(told.Append(nil, device))
		touch := <-a.touches
		if len(touch.Progress) != 1 || touch.Progress[0] != own || touch.Device != device {
			t.Errorf("%s: of its own %+v is noted", c.name, touch)
		}
		got := ""
		for _, one := range touch.Said {
			got += fmt.Sprint(one.Have, " ", one.Issued.Sub(now))
		}
		if got != c.want {
			t.Errorf("%s: %q is noted, want %q", c.name, got, c.want)
		}
		if c.name == "a good one among bad ones" {
			check(t, a.store.Touch(t.Context(), []store.Touch{touch}))
		}
	}
	view, err := a.store.Computer(t.Context(), member)
	check(t, err)
	if p := view.Affectations[0].Progress; p == nil || p.Have != 7 || p.Of != 400 || !p.Heard.Equal(now) {
		t.Errorf("the member is shown with %+v", p)
	}
	check(t, a.store.Revoke(t.Context(), member, now))
	a.say(ocs.Progress{Said: [][]byte{a.word(keyOf(8), now.Add(time.Second), id, 9)}}.Append(nil, device))
	if touch := <-a.touches; len(touch.Said) != 0 {
		t.Errorf("of a revoked agent %+v is noted", touch.Said)
	}
}

// BenchmarkSaid is one message of a reporter with what all others of its site say, noted, without the network and the
// handshake.
func BenchmarkSaid(b *testing.B) {
	for _, members := range []int{0, 1, 100} {
		b.Run(fmt.Sprint(members, "-members"), func(b *testing.B) { benchmarkSaid(b, members) })
	}
}

func benchmarkSaid(b *testing.B, members int) {
	l := newLab(b)
	l.joined(device, keyOf(5))
	certificate := l.certified("lyon", device, keyOf(5), now)
	id := l.affected(device)
	keyOf := func(n int) ed25519.PrivateKey {
		seed := make([]byte, ed25519.SeedSize)
		seed[0], seed[1], seed[2] = byte(n), byte(n>>8), 1
		return ed25519.NewKeyFromSeed(seed)
	}
	for n := range members {
		name := core.DeviceID(fmt.Sprintf("m%d-2026-01-31-08-00-00", n))
		l.joined(name, keyOf(n))
		_, err := l.store.Affect(b.Context(), store.Target{Package: id},
			store.Selection{Devices: []core.DeviceID{name}}, store.AffectOptions{}, now)
		check(b, err)
		l.postAs(l.certified("lyon", name, keyOf(n), now), ocs.Prolog{}.Append(nil, name))
		<-l.touches
	}
	at := now.Add(-time.Minute)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		at = at.Add(time.Second)
		if at.After(now) {
			b.Fatal("too many rounds for one minute: use -benchtime 50x")
		}
		var told ocs.Progress
		for n := range members {
			told.Said = append(told.Said, l.word(keyOf(n), at, id, uint32(i)))
		}
		document := told.Append(nil, device)
		b.StartTimer()
		if got := l.postAs(certificate, document); got.Code != 200 {
			b.Fatal(got.Code)
		}
		touch := <-l.touches
		if len(touch.Said) != members {
			b.Fatalf("%d of %d are noted", len(touch.Said), members)
		}
		check(b, l.store.Touch(b.Context(), []store.Touch{touch}))
	}
}
