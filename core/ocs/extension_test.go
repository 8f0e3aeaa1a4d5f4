package ocs

import (
	"bytes"
	"crypto/ed25519"
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
