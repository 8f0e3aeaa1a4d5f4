package ocs

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enjambre/core"
)

// TestSwarmWithoutSite: a computer need not have a site, but the option must say so.
func TestSwarmWithoutSite(t *testing.T) {
	for _, document := range []string{
		string(PrologReply{Response: Stop, PrologFreq: 24, Swarm: &Swarm{}}.Append(nil)),
		`<REPLY><OPTION><NAME>SWARM</NAME><PARAM TYPE="SITE" NAME=""/></OPTION></REPLY>`,
		`<REPLY><OPTION><NAME>SWARM</NAME><PARAM TYPE="SITE"/></OPTION></REPLY>`,
	} {
		reply, err := ParsePrologReply([]byte(document))
		if err != nil || !cmp.Equal(reply.Swarm, &Swarm{}) {
			t.Errorf("%s: got %+v, %v", document, reply.Swarm, err)
		}
	}
}

// TestProgressBounds: whatever keeps however many packages, the request can be sent, and every package is
// in it.
func TestProgressBounds(t *testing.T) {
	var progress Progress
	for i := range MaxPacks {
		progress.Packages = append(progress.Packages, PackageProgress{Package: core.PackageID(999_999_999_999_999_000 - i), Phase: Downloading,
			Have: core.MaxFragments, Of: core.MaxFragments, Problem: strings.Repeat("<\n", MaxProblem),
			Shared: MaxShared + 1})
	}
	document := progress.Append(nil, device)
	if len(document) > MaxMessage {
		t.Errorf("%d bytes", len(document))
	}
	again, err := mustParse(t, document).Progress()
	if err != nil || len(again.Packages) != MaxPacks {
		t.Fatalf("got %d packages, %v", len(again.Packages), err)
	}
	if first, last := again.Packages[0].Problem, again.Packages[MaxPacks-1].Problem; last != "" ||
		again.Packages[0].Shared != MaxShared ||
		!strings.HasPrefix(strings.Repeat("<\n", MaxProblem), first) || len(first) < MaxProblem-1 {
		t.Errorf("got %d bytes of the first problem, %q of the last", len(first), last)
	}
	for _, length := range []int{1, MaxSaidBytes / MaxSaid, 110, 1198} { // the last: at least and at most what members say
		progress.Said = nil
		for left := MaxSaidBytes; left >= length && len(progress.Said) < MaxSaid; left -= length {
			progress.Said = append(progress.Said, bytes.Repeat([]byte{0xff}, length))
		}
		document := progress.Append(nil, device)
		again, err := mustParse(t, document).Progress()
		if err != nil || len(document) > MaxMessage || len(again.Packages) != MaxPacks ||
			!cmp.Equal(again.Said, progress.Said) {
			t.Errorf("%d times %d bytes of members: %d bytes, read as %d packages and %d members, %v", len(progress.Said),
				length, len(document), len(again.Packages), len(again.Said), err)
		}
	}
	progress.Said = nil
	inside := func(fields string) []byte {
		return []byte(`<REQUEST DEVICEID="` + string(device) + `" QUERY="PROGRESS"><PACKAGE ID="7" ` + fields + `/></REQUEST>`)
	}
	dirty, err := mustParse(t, inside(`PHASE="DELAYED" PROBLEM="a&#xD;&#xA;b&#x202e;&#x7f;"`)).Progress()
	if err != nil || dirty.Packages[0] != (PackageProgress{Package: 7, Phase: Delayed, Problem: "a\nb??"}) {
		t.Errorf("got %+v, %v", dirty, err)
	}
	for fields, class := range map[string]core.Class{
		`PHASE="DONE"`: core.ClassField, ``: core.ClassField, `PHASE="DELAYED" HAVE="-1"`: core.ClassLimit,
		`PHASE="DELAYED" OF="99999999"`: core.ClassLimit, `PHASE="DELAYED" SHARED="-1"`: core.ClassLimit,
		`PHASE="DELAYED" SHARED="1099511627777"`: core.ClassLimit, `PHASE="DELAYED" SHARED="x"`: core.ClassLimit,
	} {
		if _, err := mustParse(t, inside(fields)).Progress(); core.ClassOf(err) != class {
			t.Errorf("%s: got %v, want %s", fields, err, class)
		}
	}
	progress.Packages = append(progress.Packages, PackageProgress{Package: 7, Phase: Delayed})
	if _, err := mustParse(t, progress.Append(nil, device)).Progress(); core.ClassOf(err) != core.ClassLimit {
		t.Errorf("%d packages: got %v", len(progress.Packages), err)
	}
}

// TestSaidRefused: what an agent passes on is few and short, and in base64 of one spelling.
func TestSaidRefused(t *testing.T) {
	member := func(said []byte) string { return `<MEMBER SAID="` + base64.StdEncoding.EncodeToString(said) + `"/>` }
	longest := strings.Repeat(member(make([]byte, 1<<10)), MaxSaidBytes>>10)
	for name, c := range map[string]struct {
		members string
		class   core.Class
	}{
		"as many as may be":  {strings.Repeat(member([]byte{1}), MaxSaid), ""},
		"one more":           {strings.Repeat(member([]byte{1}), MaxSaid+1), core.ClassLimit},
		"as long as may be":  {longest, ""},
		"one byte more":      {longest + member([]byte{1}), core.ClassLimit},
		"an element":         {`<MEMBER><SAID>AQ==</SAID></MEMBER>`, ""},
		"something besides":  {`<MEMBER SAID="AQ==" MORE="1"/>`, ""},
		"nothing":            {`<MEMBER/>`, core.ClassField},
		"nothing of it":      {`<MEMBER SAID=""/>`, core.ClassField},
		"twice":              {`<MEMBER SAID="AQ=="><SAID>AQ==</SAID></MEMBER>`, core.ClassXML},
		"no base64":          {`<MEMBER SAID="A"/>`, core.ClassField},
		"another spelling":   {`<MEMBER SAID="AR=="/>`, core.ClassField},
		"longer than a blob": {member(make([]byte, maxBlob+1)), core.ClassField},
	} {
		document := []byte(`<REQUEST DEVICEID="` + string(device) + `" QUERY="PROGRESS">` + c.members + `</REQUEST>`)
		if got, err := mustParse(t, document).Progress(); core.ClassOf(err) != c.class {
			t.Errorf("%s: got %d members, %v, want %q", name, len(got.Said), err, c.class)
		}
	}
}

// TestOnlineKeys: a key by which tickets are verified is a key, and there are few.
func TestOnlineKeys(t *testing.T) {
	key := bytes.Repeat([]byte{7}, ed25519.PublicKeySize)
	for _, c := range []struct {
		keys  [][]byte
		class core.Class
	}{
		{slices.Repeat([][]byte{key}, MaxKeys), ""},
		{slices.Repeat([][]byte{key}, MaxKeys+1), core.ClassLimit},
		{[][]byte{key[1:]}, core.ClassField},
		{[][]byte{nil}, core.ClassField},
	} {
		want := &Swarm{Site: "lyon", Ticket: []byte("t"), Epoch: []byte("e"), OnlineKeys: c.keys}
		reply, err := ParsePrologReply(PrologReply{Response: Stop, PrologFreq: 24, Swarm: want}.Append(nil))
		if core.ClassOf(err) != c.class || err == nil && !cmp.Equal(reply.Swarm, want) {
			t.Errorf("%d keys: got %+v, %v, want %q", len(c.keys), reply.Swarm, err, c.class)
		}
	}
}
