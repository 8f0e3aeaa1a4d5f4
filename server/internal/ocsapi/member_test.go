package ocsapi

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/server/internal/setting"
	"enjambre/server/internal/site"
	"enjambre/server/internal/store"
)

// from posts a PROLOG as an enrolled agent from an address, notes it, and returns the SWARM option.
func (l *lab) from(remote string, device core.DeviceID, key ed25519.PrivateKey, prolog ocs.Prolog) *ocs.Swarm {
	l.Helper()
	request := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(ocs.Encode(prolog.Append(nil, device))))
	request.RemoteAddr = remote
	request.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{l.certified("lyon", device, key, now)}}
	recorder := httptest.NewRecorder()
	l.handler.ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK {
		l.Fatalf("status %d", recorder.Code)
	}
	document, err := ocs.Decode(recorder.Body.Bytes(), ocs.MaxMessage)
	check(l, err)
	reply, err := ocs.ParsePrologReply(document)
	check(l, err)
	check(l, l.store.Touch(l.Context(), []store.Touch{<-l.touches}))
	return reply.Swarm
}

// TestSiteOfContact: an agent is told the site that its connection comes from, and if it listens there, the
// site's key and the other members under their peer IDs; behind a router, the site that it listens in.
func TestSiteOfContact(t *testing.T) {
	l := newLab(t)
	const other = core.DeviceID("pc8-2026-01-31-08-00-00")
	l.enrolled(device, keyOf(5))
	l.enrolled(other, keyOf(0))
	check(t, l.store.Set(t.Context(), "", setting.ContactSeconds, 60))
	check(t, l.store.SetSite(t.Context(), "paris", func(one *site.Site) error {
		one.Networks = []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16"), netip.MustParsePrefix("fd00::/64")}
		return nil
	}))
	want := &ocs.Swarm{Site: "lyon", Origin: "example.com:443", Policy: []ocs.Field{
		{Name: ocs.PolicyContactSeconds, Value: "60"}, {Name: ocs.PolicyPace, Value: "latency"},
	}}
	compare := func(what string, got *ocs.Swarm) {
		t.Helper()
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	compare("outside", l.from("192.0.2.1:999", device, keyOf(5), ocs.Prolog{}))
	want.Site = "paris"
	compare("inside", l.from("10.2.0.7:999", device, keyOf(5), ocs.Prolog{}))
	compare("inside by IPv6", l.from("[fd00::7%eth0]:999", device, keyOf(5), ocs.Prolog{}))
	compare("inside by IPv4 in IPv6", l.from("[::ffff:10.2.0.7]:999", device, keyOf(5), ocs.Prolog{}))
	member := ocs.Prolog{Listen: netip.MustParseAddrPort("10.2.0.8:4001"), Weight: 4}
	first := l.from("198.51.100.7:999", other, keyOf(0), member)
	if len(first.Keys) != 1 || len(first.Members) != 0 {
		t.Fatalf("the first member got %+v", first)
	}
	want.Keys = first.Keys
	want.Members = []ocs.Member{{ID: "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN", Address: member.Listen}}
	member.Listen = netip.MustParseAddrPort("10.2.0.7:4001")
	compare("listening", l.from("10.2.0.7:999", device, keyOf(5), member))
	want.Keys, want.Members = nil, nil
	compare("listening no more", l.from("10.2.0.7:999", device, keyOf(5), ocs.Prolog{}))
}

// TestListenRefused: a message that says nonsense of where its agent listens changes nothing.
func TestListenRefused(t *testing.T) {
	a := newAgentLab(t)
	for len(a.touches) > 0 {
		<-a.touches
	}
	bad := []byte(`<REQUEST DEVICEID="` + string(device) + `" QUERY="PROLOG" LISTEN="0.0.0.0:1" CLASS="1"/>`)
	if got := a.postAs(a.certificate, bad); got.Code != http.StatusBadRequest || len(a.touches) != 0 {
		t.Errorf("got %d, %d noted", got.Code, len(a.touches))
	}
	stock := ocs.Prolog{Listen: netip.MustParseAddrPort("10.2.0.7:1")}.Append(nil, "pc9-2026-01-31-08-00-00")
	answer, err := ocs.Decode(a.post(ocs.Encode(stock), unixAgent).Body.Bytes(), ocs.MaxMessage)
	if touch := <-a.touches; err != nil || touch.Prolog != (ocs.Prolog{}) || bytes.Contains(answer, []byte("SWARM")) {
		t.Errorf("a stock agent that listens: noted %+v, answered %s, %v", touch, answer, err)
	}
}

// TestLoopback: who calls from a loopback address may listen on one, and only such are told of it.
func TestLoopback(t *testing.T) {
	l := newLab(t)
	const other, third = core.DeviceID("pc8-2026-01-31-08-00-00"), core.DeviceID("pc9-2026-01-31-08-00-00")
	for i, one := range []core.DeviceID{device, other, third} {
		l.enrolled(one, keyOf(byte(5+i)))
	}
	at := func(listen string) ocs.Prolog {
		return ocs.Prolog{Listen: netip.MustParseAddrPort(listen), Weight: 4}
	}
	count := func(what string, got *ocs.Swarm, keys, members int) {
		t.Helper()
		if len(got.Keys) != keys || len(got.Members) != members {
			t.Errorf("%s: got %+v, want %d keys, %d members", what, got, keys, members)
		}
	}
	for _, listen := range []string{"127.0.0.1:4001", "127.3.2.1:4001", "[::1]:4001"} {
		count("from elsewhere, "+listen, l.from("10.2.0.7:999", device, keyOf(5), at(listen)), 0, 0)
	}
	count("the first", l.from("127.0.0.1:999", device, keyOf(5), at("127.0.0.1:4001")), 1, 0)
	count("the second", l.from("[::1]:999", other, keyOf(6), at("127.0.0.1:4002")), 1, 1)
	count("a remote one", l.from("10.2.0.7:999", third, keyOf(7), at("10.2.0.7:4001")), 1, 0)
	count("the second, again", l.from("[::ffff:127.0.0.1]:999", other, keyOf(6), at("127.0.0.1:4002")), 1, 2)
	moved := at("127.0.0.1:4001")
	moved.Contact = ocs.ContactID{1}
	count("the first, moved away", l.from("10.2.0.8:999", device, keyOf(5), moved), 0, 0)
	count("the second, alone", l.from("127.0.0.1:999", other, keyOf(6), at("127.0.0.1:4002")), 1, 1)
}
