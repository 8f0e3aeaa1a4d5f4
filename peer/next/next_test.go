package next

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"enjambre/core"
	"enjambre/peer/id"
)

func holder(n byte) id.Peer { return id.Peer{n, 31: n} }

// full returns a request that says as much as one can.
func full() Request {
	r := Request{Weight: 4, Resume: Resume{65_535, core.MaxFragmentSize - 1}, Start: MaxStart}
	for i := range core.FragmentIndex(MaxWant) {
		r.Want = append(r.Want, 65_000-7*i)
	}
	for i := range core.FragmentIndex(MaxAcknowledged) {
		r.Acknowledged = append(r.Acknowledged, 60_000+2*i)
	}
	for i := range MaxFailed {
		r.Failed = append(r.Failed, Complaint{60_000, holder(byte(i + 1)), true})
	}
	r.CutOff = true
	for i := range MaxReached {
		r.Reached = append(r.Reached, holder(byte(i+1)))
	}
	return r
}

func TestRequest(t *testing.T) {
	largest := Request{Weight: 1, Want: full().Want, Have: bytes.Repeat([]byte{0xa5}, maxHave), Start: MaxStart}
	cases := map[string]struct {
		request Request
		header  Header
	}{
		"nothing": {Request{}, Header{"Enjambre-Weight": {"0"}}},
		"all": {
			Request{
				Weight: 2, Want: []core.FragmentIndex{7, 3, 9}, Acknowledged: []core.FragmentIndex{0, 3, 4, 5, 9, 10},
				Failed: []Complaint{{7, id.Peer{}, true}, {8, holder(1), false}}, Resume: Resume{7, 65_536},
				Start: 9007199254740992,
			},
			Header{
				"Enjambre-Weight": {"2"}, "Enjambre-Want": {"7,3,9"}, "Enjambre-Acknowledged": {"0,3-5,9-10"},
				"Enjambre-Failed": {"7:origin:corrupt,8:" + holder(1).String() + ":lost"}, "Enjambre-Resume": {"7:65536"},
				"Enjambre-Start": {"9007199254740992"},
			},
		},
		"have":  {Request{Have: []byte{0xff, 0xfb}}, Header{"Enjambre-Weight": {"0"}, "Enjambre-Have": {"__s"}}},
		"alone": {Request{CutOff: true}, Header{"Enjambre-Weight": {"0"}, "Enjambre-Island": {"alone"}}},
		"island": {
			Request{CutOff: true, Reached: []id.Peer{holder(1), holder(2)}},
			Header{"Enjambre-Weight": {"0"}, "Enjambre-Island": {holder(1).String() + "," + holder(2).String()}},
		},
		"full":    {full(), nil},
		"largest": {largest, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			header := Header{"Accept": {"*/*"}}
			if err := c.request.Put(header); err != nil {
				t.Fatal(err)
			}
			got, err := ParseRequest(header)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.request, got); diff != "" {
				t.Errorf("read back (-put +got):\n%s", diff)
			}
			delete(header, "Accept")
			if c.header != nil {
				if diff := cmp.Diff(c.header, header); diff != "" {
					t.Errorf("spelling (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestRequestRefused(t *testing.T) {
	peer := holder(1).String()
	cases := []struct {
		name, header, value string
		class               core.Class
	}{
		{"weight 3", headerWeight, "3", core.ClassField},
		{"weight 256", headerWeight, "256", core.ClassLimit},
		{"leading zero", headerWant, "07", core.ClassCanon},
		{"sign", headerWant, "+7", core.ClassField},
		{"space", headerWant, "7, 8", core.ClassField},
		{"twice", headerWant, "7,8,7", core.ClassCanon},
		{"no such fragment", headerWant, "65536", core.ClassLimit},
		{"huge", headerWant, strings.Repeat("9", 30), core.ClassLimit},
		{"65 wanted", headerWant, strings.Repeat("1,", 64) + "1", core.ClassLimit},
		{"a range is wanted", headerWant, "3-4", core.ClassField},
		{"empty item", headerAcknowledged, "3,,4", core.ClassField},
		{"touching", headerAcknowledged, "3,4", core.ClassCanon},
		{"overlapping", headerAcknowledged, "3-5,5-7", core.ClassCanon},
		{"of one", headerAcknowledged, "3-3", core.ClassCanon},
		{"backwards", headerAcknowledged, "5-3", core.ClassCanon},
		{"1025", headerAcknowledged, "0-1024", core.ClassLimit},
		{"all there are", headerAcknowledged, "0-65535", core.ClassLimit},
		{"two parts", headerFailed, "7:" + peer, core.ClassField},
		{"no reason", headerFailed, "7:" + peer + ":bad", core.ClassField},
		{"lost origin", headerFailed, "7:origin:lost", core.ClassField},
		{"nobody", headerFailed, "7:me:lost", core.ClassIdent},
		{"begins", headerResume, "7:0", core.ClassCanon},
		{"no byte", headerResume, "7", core.ClassField},
		{"beyond", headerResume, "7:16777216", core.ClassLimit},
		{"start 0", headerStart, "0", core.ClassCanon},
		{"start beyond", headerStart, "9007199254740993", core.ClassLimit},
		{"padded", headerHave, "__s=", core.ClassField},
		{"loose bits", headerHave, "__t", core.ClassField},
		{"line break", headerHave, "__\ns", core.ClassCanon},
		{"too long", headerHave, strings.Repeat("A", 10_924), core.ClassLimit},
		{"empty", headerWant, "", core.ClassCanon},
		{"with nobody", headerIsland, "me", core.ClassIdent},
		{"alone with", headerIsland, "alone," + peer, core.ClassIdent},
		{"twice there", headerIsland, peer + "," + peer, core.ClassCanon},
		{"25 reached", headerIsland, strings.Repeat(peer+",", 24) + peer, core.ClassLimit},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			header := Header{headerWeight: {"1"}}
			header[c.header] = []string{c.value}
			if _, err := ParseRequest(header); core.ClassOf(err) != c.class {
				t.Errorf("got %v, want %s", err, c.class)
			}
		})
	}
	several := map[string]Header{
		"weight missing":   {headerWant: {"7"}},
		"twice":            {headerWeight: {"1"}, headerWant: {"7", "8"}},
		"have and the new": {headerWeight: {"1"}, headerHave: {"__s"}, headerAcknowledged: {"7"}},
		"too much": {
			headerWeight: {"1"}, headerHave: {strings.Repeat("A", 10_922)},
			headerFailed: {strings.Repeat("60000:"+peer+":corrupt,", 63) + "60000:" + peer + ":corrupt"},
			headerWant:   {joined(full().Want, number)},
		},
	}
	for name, header := range several {
		if _, err := ParseRequest(header); core.ClassOf(err) == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestAnswer(t *testing.T) {
	for _, want := range []Answer{
		{Status: StatusFragment, Fragment: 7, From: 65_536, Length: 458_752},
		{Status: StatusComplete}, {Status: StatusGone}, {Status: StatusComplete, Sent: 1}, {Status: StatusGone, Sent: MaxSent},
		{Status: StatusFragment, Fragment: 7, Length: 1, Sent: 458_752},
		{Status: StatusRefused, Reason: "leased", RetryAfter: 1234 * time.Millisecond},
		{Status: StatusRefused, Reason: "held", Fragment: 9, Holder: holder(3), RetryAfter: MinRetry},
		{Status: StatusBusy, Reason: "busy", RetryAfter: MaxRetry},
		{Status: StatusComplete, Introduce: Introduction{To: holder(4)}},
		{Status: StatusFragment, Fragment: 7, Length: 1, Introduce: Introduction{
			To: holder(4), At: netip.MustParseAddrPort("192.0.2.7:4901")}},
		{Status: StatusBusy, Reason: "busy", RetryAfter: MaxRetry, Introduce: Introduction{
			To: holder(4), At: netip.MustParseAddrPort("[2001:db8::7]:4901")}},
	} {
		header := Header{}
		want.Put(header)
		got, err := ParseAnswer(want.Status, header)
		address := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
		if diff := cmp.Diff(want, got, address); err != nil || diff != "" {
			t.Errorf("%v %v, %v:\n%s", want, header, err, diff)
		}
	}
	header := Header{}
	Answer{Status: StatusBusy, Reason: "busy", RetryAfter: 1001 * time.Millisecond}.Put(header)
	if got := header["Retry-After"][0]; got != "2" {
		t.Errorf("Retry-After: got %s, want 2", got)
	}
}

func TestAnswerRefused(t *testing.T) {
	cases := map[string]refusedAnswer{
		"another status":        {404, Header{}, core.ClassType},
		"nothing sent":          {204, Header{headerSent: {"0"}}, core.ClassCanon},
		"sent too much":         {204, Header{headerSent: {"9007199254740993"}}, core.ClassLimit},
		"sent a word":           {410, Header{headerSent: {"all"}}, core.ClassField},
		"introduced to no peer": {204, Header{headerIntroduce: {"x"}}, core.ClassIdent},
		"introduced to nobody":  {204, Header{headerIntroduce: {""}}, core.ClassCanon},
		"introduced to two": {204, Header{headerIntroduce: {holder(1).String(), holder(2).String()}},
			core.ClassCanon},
		"introduced nowhere":   introduced("", core.ClassField),
		"without port":         introduced("192.0.2.7", core.ClassField),
		"at port 0":            introduced("192.0.2.7:0", core.ClassField),
		"at all addresses":     introduced("0.0.0.0:4901", core.ClassField),
		"at a group":           introduced("224.0.0.251:5353", core.ClassField),
		"at everybody":         introduced("255.255.255.255:4901", core.ClassField),
		"at a zone":            introduced("[fe80::1%eth0]:4901", core.ClassField),
		"at a name":            introduced("host:4901", core.ClassField),
		"two places":           introduced("192.0.2.7:4901@192.0.2.8:4901", core.ClassField),
		"IPv4 in IPv6":         introduced("[::ffff:192.0.2.7]:4901", core.ClassCanon),
		"long form of address": introduced("[2001:db8:0:0::7]:4901", core.ClassCanon),
		"no fragment":          {200, Header{headerFrom: {"0"}, headerLength: {"1"}}, core.ClassField},
		"no byte":              {200, Header{headerFragment: {"1"}, headerFrom: {"0"}, headerLength: {"0"}}, core.ClassLimit},
		"beyond": {200, Header{headerFragment: {"1"}, headerFrom: {"16777215"}, headerLength: {"2"}},
			core.ClassLimit},
		"no reason":   {409, Header{headerRetry: {"100"}}, core.ClassField},
		"no pause":    {503, Header{headerReason: {"busy"}}, core.ClassField},
		"short pause": {503, Header{headerReason: {"busy"}, headerRetry: {"99"}}, core.ClassLimit},
		"long pause":  {503, Header{headerReason: {"busy"}, headerRetry: {"300001"}}, core.ClassLimit},
		"not a word":  {409, Header{headerReason: {"Busy"}, headerRetry: {"100"}}, core.ClassField},
		"of no peer": {409, Header{headerReason: {"held"}, headerRetry: {"100"}, headerHolder: {"x"}},
			core.ClassIdent},
		"has what": {409, Header{headerReason: {"held"}, headerRetry: {"100"}, headerHolder: {holder(1).String()}},
			core.ClassField},
		"two fragments": {200, Header{headerFragment: {"1", "2"}, headerFrom: {"0"}, headerLength: {"1"}},
			core.ClassCanon},
	}
	for name, c := range cases {
		if got, err := ParseAnswer(c.status, c.header); core.ClassOf(err) != c.class {
			t.Errorf("%s: got %+v, %v; want %s", name, got, err, c.class)
		}
	}
}

// A refusedAnswer is one that ParseAnswer refuses with a class.
type refusedAnswer struct {
	status int
	header Header
	class  core.Class
}

// introduced is an answer that introduces to a member at a place.
func introduced(place string, class core.Class) refusedAnswer {
	return refusedAnswer{204, Header{headerIntroduce: {holder(1).String() + "@" + place}}, class}
}

// FuzzRequest: what is accepted has one spelling.
func FuzzRequest(f *testing.F) {
	f.Add("2", "7,3,9", "0,3-5,9-10", "7:origin:corrupt,8:"+holder(1).String()+":lost", "7:65536", "", "alone")
	f.Add("0", "", "", "", "", "__s", holder(1).String()+","+holder(2).String())
	f.Add("1", "07", "3,4", "7:me:lost", "7:0", "__s=", "")
	f.Fuzz(func(t *testing.T, weight, want, acknowledged, failed, resume, have, island string) {
		header := Header{}
		for name, text := range map[string]string{
			headerWeight: weight, headerWant: want, headerAcknowledged: acknowledged, headerFailed: failed,
			headerResume: resume, headerHave: have, headerIsland: island,
		} {
			header.put(name, text)
		}
		request, err := ParseRequest(header)
		if err != nil {
			if core.ClassOf(err) == "" {
				t.Errorf("refusal without class: %v", err)
			}
			return
		}
		again := Header{}
		if err := request.Put(again); err != nil {
			t.Fatalf("%+v is accepted and not put: %v", request, err)
		}
		if diff := cmp.Diff(header, again); diff != "" {
			t.Errorf("two spellings (-read +put):\n%s", diff)
		}
	})
}

// FuzzIntroduction: what is accepted has one spelling.
func FuzzIntroduction(f *testing.F) {
	f.Add(holder(1).String())
	f.Add(holder(1).String() + "@192.0.2.7:4901")
	f.Add(holder(1).String() + "@[2001:db8::7]:4901")
	f.Add(holder(1).String() + "@[::ffff:192.0.2.7]:4901")
	f.Add("me@192.0.2.7:04901")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseIntroduction(text)
		switch {
		case err != nil && core.ClassOf(err) == "":
			t.Errorf("refusal without class: %v", err)
		case err == nil && got.text() != text:
			t.Errorf("%q is spelled %q too", got.text(), text)
		}
	})
}
