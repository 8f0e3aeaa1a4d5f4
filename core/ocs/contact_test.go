package ocs

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enjambre/core"
)

func TestPrologOfOurs(t *testing.T) {
	first, second := ContactID{1, 0xab}, ContactID{15: 2}
	prolog := Prolog{Contact: second, Last: first, Trusts: core.DigestOf(nil)}
	golden(t, "golden-prolog.xml", prolog.Append(nil, device))
	prolog.Listen, prolog.Weight = netip.MustParseAddrPort("10.1.0.7:4001"), 2
	golden(t, "golden-prolog-member.xml", prolog.Append(nil, device))
	for _, want := range []Prolog{{}, {Contact: first}, {Contact: second, Last: first}, {Trusts: core.DigestOf(nil)},
		{Contact: first, Trusts: core.DigestOf(nil)}, prolog, {Listen: netip.MustParseAddrPort("[fd00::7]:1")},
		{Listen: netip.MustParseAddrPort("127.0.0.1:65535"), Weight: 4}} {
		request := mustParse(t, want.Append(nil, device))
		if got, err := request.Prolog(); err != nil || got != want || request.Query != QueryProlog ||
			request.Device != device {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	hex := strings.Repeat("0a", 16)
	for attributes, class := range map[string]core.Class{
		`LAST="` + hex + `"`: core.ClassField, `CONTACT="` + hex + `" LAST="` + hex + `"`: core.ClassField,
		`CONTACT="` + strings.ToUpper(hex) + `"`: core.ClassField, `CONTACT="` + hex + `0a"`: core.ClassField,
		`TRUSTS="` + hex + `"`:   core.ClassField,
		`LISTEN="10.1.0.7:4001"`: core.ClassField, `CLASS="1"`: core.ClassField, `LISTEN="pc:4001" CLASS="1"`: core.ClassField,
		`LISTEN="10.1.0.7:4001" CLASS="3"`: core.ClassField, `LISTEN="10.1.0.7:4001" CLASS="-1"`: core.ClassField,
		`LISTEN="10.1.0.7:4001" CLASS="04"`: core.ClassField, `LISTEN="10.1.0.7:0" CLASS="1"`: core.ClassField,
		`LISTEN="10.1.0.7:04001" CLASS="1"`: core.ClassField, `LISTEN="10.1.0.7:65536" CLASS="1"`: core.ClassField,
		`LISTEN="0.0.0.0:4001" CLASS="1"`: core.ClassField, `LISTEN="[::]:4001" CLASS="1"`: core.ClassField,
		`LISTEN="239.0.0.1:4001" CLASS="1"`: core.ClassField, `LISTEN="255.255.255.255:4001" CLASS="1"`: core.ClassField,
		`LISTEN="[fe80::1%eth0]:4001" CLASS="1"`: core.ClassField, `LISTEN="[::ffff:10.1.0.7]:4001" CLASS="1"`: core.ClassField,
		`LISTEN="[FD00::7]:4001" CLASS="1"`: core.ClassField,
		`CONTACT="x"`:                       core.ClassField, `CONTACT="` + strings.Repeat("0", 32) + `"`: core.ClassField,
	} {
		document := `<REQUEST DEVICEID="` + string(device) + `" QUERY="PROLOG" ` + attributes + `/>`
		if _, err := mustParse(t, []byte(document)).Prolog(); core.ClassOf(err) != class {
			t.Errorf("%s: got %v, want %s", attributes, err, class)
		}
	}
}

func TestClonedReply(t *testing.T) {
	reply := PrologReply{Response: Stop, PrologFreq: 24, Cloned: true, Reason: "two computers <use> it"}
	golden(t, "golden-prolog-reply-cloned.xml", reply.Append(nil))
	if again, err := ParsePrologReply(reply.Append(nil)); err != nil || !cmp.Equal(again, reply) {
		t.Errorf("got %+v, %v", again, err)
	}
	odd, err := ParsePrologReply([]byte("<REPLY><RESPONSE>STOP</RESPONSE><REASON>x</REASON></REPLY>"))
	if err != nil || odd.Cloned || odd.Reason != "" {
		t.Errorf("a reason alone: got %+v, %v", odd, err)
	}
	if _, err := ParsePrologReply([]byte("<REPLY><CLONED>2</CLONED></REPLY>")); core.ClassOf(err) != core.ClassLimit {
		t.Errorf("CLONED 2: got %v", err)
	}
}

func TestTrustDigest(t *testing.T) {
	a, b := []byte("a"), []byte("b")
	if got := TrustDigest([][]byte{b, a, b}); got != core.DigestOf([]byte("ab")) || got != TrustDigest([][]byte{a, b}) {
		t.Errorf("got %s", got)
	}
	if got := TrustDigest(nil); got != (core.Digest{}) {
		t.Errorf("of nothing: got %s", got)
	}
}

// TestAuthorities: a server may tell so many authorities, each of so many bytes.
func TestAuthorities(t *testing.T) {
	for _, c := range []struct {
		count, bytes int
		class        core.Class
	}{{MaxAuthorities, MaxAuthority, ""}, {MaxAuthorities + 1, 1, core.ClassLimit}, {1, MaxAuthority + 1, core.ClassField},
		{1, 0, core.ClassField}} {
		reply := PrologReply{Response: Stop, PrologFreq: 24, Swarm: &Swarm{}}
		for range c.count {
			reply.Swarm.Authorities = append(reply.Swarm.Authorities, make([]byte, c.bytes))
		}
		again, err := ParsePrologReply(reply.Append(nil))
		if core.ClassOf(err) != c.class || err == nil && !cmp.Equal(again, reply) {
			t.Errorf("%d of %d bytes: got %v", c.count, c.bytes, err)
		}
	}
}
