package origin

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"enjambre/core"
	"enjambre/peer/lease"
	"enjambre/peer/next"
	"enjambre/server/internal/depot"
)

// plain fetches a fragment at its plain address.
func (a *agent) plain(number core.PackageID, index core.FragmentIndex, ranges string) {
	a.Helper()
	url := fmt.Sprintf("%s/download/%s/%s", a.server.URL, number, depot.FragmentName(number, index))
	request, err := http.NewRequestWithContext(a.Context(), http.MethodGet, url, nil)
	check(a, err)
	if ranges != "" {
		request.Header.Set("Range", ranges)
	}
	response, err := a.client.Do(request)
	check(a, err)
	_, err = io.Copy(io.Discard, response.Body)
	check(a, err)
	check(a, response.Body.Close())
	if response.StatusCode/100 != 2 {
		a.Fatalf("%s: %s", url, response.Status)
	}
}

// TestOutside: what an agent of a site fetches at a plain address is in the site's ledger like the rest, and nobody
// else's is; after a restart, too.
func TestOutside(t *testing.T) {
	l := newLab(t)
	member, other, elsewhere, nowhere := l.agent(2, "lyon"), l.agent(3, "lyon"), l.agent(4, "paris"), l.agent(5, "lyon")
	none := core.SiteName("")
	check(t, l.store.SetComputer(t.Context(), nowhere.device, &none, nil))
	l.start()
	p := l.pack(7, 4, fragmentSize) // of which the site has not heard yet
	member.plain(7, 0, "")
	member.plain(7, 1, "bytes=100-299")
	elsewhere.plain(7, 2, "")
	nowhere.plain(7, 3, "")
	want := lease.Totals{First: fragmentSize + 200}
	expect := func(what string) {
		t.Helper()
		if got := l.totals(p); got != want {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	expect("fetched once")
	paris, err := l.handler.Totals(t.Context(), "paris", p.InfoDigest)
	if err != nil || paris != (lease.Totals{First: fragmentSize}) {
		t.Errorf("another site: got %+v, %v", paris, err)
	}

	other.plain(7, 0, "")
	want.Extra[lease.CauseNoPeers] = fragmentSize
	expect("by another")
	if answer, _ := other.ask(7, next.Request{Weight: 2, Want: []core.FragmentIndex{2}}); answer.Status != next.StatusFragment {
		t.Errorf("a fragment that only another site was sent: got %+v", answer)
	}
	want.First += fragmentSize
	expect("by a lease")
	l.stop()
	l.start()
	expect("after a restart")
	member.plain(7, 2, "")
	want.Extra[lease.CauseNoPeers] += fragmentSize
	expect("again")
}

// TestFragmentOf: only a fragment's own name is one.
func TestFragmentOf(t *testing.T) {
	for name, want := range map[string]int{
		"7-1": 0, "7-8190": 8189, "7-0": -1, "7-01": -1, "7-": -1, "7-+1": -1, "8-1": -1, "info": -1, "1": -1, "7--1": -1,
		"7-4294967297": -1, "7-1 ": -1,
	} {
		index, ok := fragmentOf(7, name)
		if ok != (want >= 0) || ok && int(index) != want {
			t.Errorf("%q: got %d, %v", name, index, ok)
		}
	}
}
