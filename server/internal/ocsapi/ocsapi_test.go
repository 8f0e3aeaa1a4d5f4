package ocsapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/server/internal/setting"
	"enjambre/server/internal/store"
)

var now = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

const (
	device    = core.DeviceID("pc7-2026-01-31-08-00-00")
	unixAgent = "OCS-NG_unified_unix_agent_v2.10.0"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A lab is a handler over an empty store.
type lab struct {
	testing.TB
	handler *Handler
	store   *store.Store
	touches chan store.Touch
}

func newLab(t testing.TB) *lab {
	t.Helper()
	folder := t.TempDir()
	check(t, store.Create(t.Context(), folder))
	opened, err := store.Open(t.Context(), folder)
	check(t, err)
	t.Cleanup(func() { check(t, opened.Close()) })
	check(t, opened.Set(t.Context(), "", setting.StockAgents, 1))
	touches := make(chan store.Touch, 100)
	handler := New(Options{Store: opened, Enroller: newEnroller(t, opened), Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return now }, Touch: touches})
	return &lab{t, handler, opened, touches}
}

// post sends a body and returns the answer.
func (l *lab) post(body []byte, agent string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body))
	request.Header.Set("User-Agent", agent)
	recorder := httptest.NewRecorder()
	l.handler.ServeHTTP(recorder, request)
	return recorder
}

// send posts a document and returns the decoded answer of a 200.
func (l *lab) send(document []byte) []byte {
	l.Helper()
	recorder := l.post(ocs.Encode(document), unixAgent)
	if recorder.Code != http.StatusOK ||
		recorder.Header().Get("Content-Length") != fmt.Sprint(recorder.Body.Len()) {
		l.Fatalf("status %d, length %s of %d", recorder.Code, recorder.Header().Get("Content-Length"),
			recorder.Body.Len())
	}
	if recorder.Body.Len() == 0 {
		return nil
	}
	answer, err := ocs.Decode(recorder.Body.Bytes(), ocs.MaxMessage)
	check(l, err)
	if first := recorder.Body.Bytes()[0]; first != 0x78 {
		l.Errorf("the answer begins with %x; stock agents take zlib only", first)
	}
	return answer
}

func (l *lab) prolog() ocs.PrologReply {
	l.Helper()
	reply, err := ocs.ParsePrologReply(l.send(ocs.AppendProlog(nil, device)))
	check(l, err)
	return reply
}

func inventory(fields ...ocs.Field) []byte {
	return ocs.Inventory{
		Reported: true,
		Sections: []ocs.Section{{Name: "HARDWARE", Fields: fields}},
	}.Append(nil, device)
}

// TestConversation is one agent's way from its first call to a package's result.
func TestConversation(t *testing.T) {
	l := newLab(t)
	check(t, l.store.Set(t.Context(), "", setting.Frequency, 7))
	reply := l.prolog()
	if reply.Response != ocs.Send || reply.PrologFreq != 24 || !reply.Download.Conf.On ||
		len(reply.Download.Packs) != 0 {
		t.Errorf("first call: got %+v", reply)
	}
	answer, err := ocs.ParseInventoryReply(
		l.send(inventory(ocs.Field{Name: "NAME", Value: "pc7"}, ocs.Field{Name: "OSNAME", Value: "Debian"})))
	if err != nil || len(answer.Account) != 0 {
		t.Errorf("inventory: got %v, %v", answer, err)
	}
	id, err := l.store.ReserveID(t.Context(), now)
	check(t, err)
	check(
		t,
		l.store.AddPackage(
			t.Context(),
			store.Package{ID: id, Name: "p", OS: core.Linux, Priority: 5, Action: core.Execute,
				SuccessCodes: []int{0}, Protocol: "HTTPS", Built: now},
		),
	)
	_, err = l.store.AddActivation(t.Context(),
		store.Activation{Package: id, InfoURL: "a:1/d", FragmentsURL: "b:2/d", Created: now})
	check(t, err)
	_, err = l.store.Affect(t.Context(), store.Target{Package: id}, store.Selection{All: true},
		store.AffectOptions{}, now)
	check(t, err)
	reply = l.prolog()
	want := []ocs.Pack{{ID: id, InfoLocation: "a:1/d", FragmentsLocation: "b:2/d"}}
	if reply.Response != ocs.Stop || !cmp.Equal(reply.Download.Packs, want) {
		t.Errorf("second call: got %+v", reply)
	}
	if answer := l.send(ocs.Result{Package: id, Text: "SUCCESS"}.Append(nil, device)); len(answer) != 0 {
		t.Errorf("result: answered %q", answer)
	}
	if reply = l.prolog(); len(reply.Download.Packs) != 0 {
		t.Errorf("after the result: got %+v", reply.Download.Packs)
	}
	notify := `<REQUEST><DEVICEID>` + string(device) + `</DEVICEID><QUERY>NOTIFY</QUERY><TYPE>IP</TYPE>` +
		`<IFACE><MAC>00:11:22:33:44:55</MAC><IP>10.1.2.3</IP></IFACE></REQUEST>`
	if answer := l.send([]byte(notify)); len(answer) != 0 {
		t.Errorf("notify: answered %q", answer)
	}
	view, err := l.store.Computer(t.Context(), device)
	check(t, err)
	if want := []store.Address{{IP: "10.1.2.3", MAC: "00:11:22:33:44:55"}}; !cmp.Equal(view.Addresses, want) {
		t.Errorf("addresses after a notification: %v", view.Addresses)
	}
	var offered []core.PackageID
	for range 3 {
		touch := <-l.touches
		offered = append(offered, touch.Offers...)
	}
	if !cmp.Equal(offered, []core.PackageID{id}) {
		t.Errorf("offers noted: %v", offered)
	}
	check(t, l.store.Set(t.Context(), "", setting.Frequency, -1))
	if reply = l.prolog(); reply.Response != ocs.Stop || reply.Download != nil {
		t.Errorf("with FREQUENCY -1: got %+v", reply)
	}
}

func TestFramesThatAreUnderstood(t *testing.T) {
	l := newLab(t)
	document := ocs.AppendProlog(nil, device)
	var zipped bytes.Buffer
	writer := gzip.NewWriter(&zipped)
	_, err := writer.Write(document)
	check(t, err)
	check(t, writer.Close())
	for name, body := range map[string][]byte{"zlib": ocs.Encode(document), "gzip": zipped.Bytes(), "plain": document} {
		if got := l.post(body, unixAgent); got.Code != http.StatusOK || got.Body.Bytes()[0] != 0x78 {
			t.Errorf("%s: got %d", name, got.Code)
		}
	}
}

func TestRefused(t *testing.T) {
	l := newLab(t)
	wrap := func(inside string) []byte {
		return ocs.Encode([]byte("<REQUEST><DEVICEID>" + string(device) + "</DEVICEID>" + inside + "</REQUEST>"))
	}
	cases := []struct {
		name   string
		body   []byte
		status int
	}{
		{"empty", nil, http.StatusBadRequest},
		{"garbage", []byte("hello"), http.StatusBadRequest},
		{
			"DOCTYPE",
			ocs.Encode([]byte(`<!DOCTYPE a SYSTEM "file:///etc/passwd"><REQUEST/>`)),
			http.StatusBadRequest,
		},
		{"unknown query", wrap("<QUERY>NONSENSE</QUERY>"), http.StatusBadRequest},
		{
			"bad device",
			ocs.Encode([]byte("<REQUEST><DEVICEID>x</DEVICEID><QUERY>PROLOG</QUERY></REQUEST>")),
			http.StatusBadRequest,
		},
		{"result without ID", wrap("<QUERY>DOWNLOAD</QUERY><ERR>SUCCESS</ERR>"), http.StatusBadRequest},
		{
			"result of an unknown computer",
			wrap("<QUERY>DOWNLOAD</QUERY><ERR>SUCCESS</ERR><ID>1</ID>"),
			http.StatusForbidden,
		},
		{"inventory without content", wrap("<QUERY>INVENTORY</QUERY>"), http.StatusBadRequest},
		{"notification of an unknown computer", wrap("<QUERY>NOTIFY</QUERY>"), http.StatusForbidden},
		{"enrolment in the clear", wrap("<QUERY>ENROLL</QUERY>"), http.StatusForbidden},
		{"progress of a stock agent", wrap("<QUERY>PROGRESS</QUERY>"), http.StatusForbidden},
		{"bomb", ocs.Encode(make([]byte, 32<<20)), http.StatusRequestEntityTooLarge},
		{"body too long", bytes.Repeat([]byte(" "), ocs.MaxBody+1), http.StatusRequestEntityTooLarge},
		{
			"prolog too long",
			wrap("<QUERY>PROLOG</QUERY>" + strings.Repeat("<X>y</X>", 9000)),
			http.StatusRequestEntityTooLarge,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := l.post(c.body, unixAgent); got.Code != c.status || got.Body.Len() != 0 {
				t.Errorf("got %d with %q, want %d", got.Code, got.Body, c.status)
			}
		})
	}
	recorder := httptest.NewRecorder()
	l.handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, Path, nil))
	if recorder.Code != http.StatusMethodNotAllowed || recorder.Header().Get("Allow") != "POST" {
		t.Errorf("GET: got %d", recorder.Code)
	}
	check(t, l.store.Set(t.Context(), "", setting.StockAgents, 0))
	if got := l.post(ocs.Encode(ocs.AppendProlog(nil, device)), unixAgent); got.Code != http.StatusForbidden {
		t.Errorf("stock agents not allowed: got %d, want 403", got.Code)
	}
}

// A slowBody begins and does not end until it is released.
type slowBody struct {
	begun   chan<- struct{}
	release <-chan struct{}
}

func (s slowBody) Read([]byte) (int, error) {
	s.begun <- struct{}{}
	<-s.release
	return 0, io.EOF
}

// TestSlowSenders: however many bodies one address sends slowly, others are answered.
func TestSlowSenders(t *testing.T) {
	l := newLab(t)
	begun, release := make(chan struct{}), make(chan struct{})
	var slow sync.WaitGroup
	for range 2 * maxFromOne {
		slow.Go(func() {
			request := httptest.NewRequest(http.MethodPost, Path, slowBody{begun, release})
			request.RemoteAddr = "10.0.0.1:1234"
			l.handler.ServeHTTP(httptest.NewRecorder(), request)
		})
	}
	for range maxFromOne { // no more are received from there
		<-begun
	}
	l.prolog() // from another address
	close(release)
	for range maxFromOne {
		<-begun
	}
	slow.Wait()
	if len(l.handler.gate.from) != 0 || len(l.handler.gate.all) != 0 {
		t.Errorf("the gate remembers %d addresses and %d places", len(l.handler.gate.from),
			len(l.handler.gate.all))
	}
}

// TestBusy: whoever does not get a turn in time is told to come again.
func TestBusy(t *testing.T) {
	l := newLab(t)
	for range maxBusy {
		check(t, l.handler.enter(t.Context()))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	request := httptest.NewRequest(http.MethodPost, Path,
		bytes.NewReader(ocs.Encode(ocs.AppendProlog(nil, device))))
	recorder := httptest.NewRecorder()
	l.handler.ServeHTTP(recorder, request.WithContext(ctx))
	if recorder.Code != http.StatusServiceUnavailable || recorder.Header().Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q", recorder.Code, recorder.Header().Get("Retry-After"))
	}
}

// TestStatusOfBusyDatabase: nor is it an error of the server that another process holds the database.
func TestStatusOfBusyDatabase(t *testing.T) {
	recorder := httptest.NewRecorder()
	refuse(recorder, fmt.Errorf("database: %w", store.ErrBusy))
	if recorder.Code != http.StatusServiceUnavailable || recorder.Header().Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q", recorder.Code, recorder.Header().Get("Retry-After"))
	}
}

// sample reads a captured inventory.
func sample(t testing.TB) ocs.Inventory {
	t.Helper()
	document, err := os.ReadFile("../../../core/ocs/testdata/03-inventory-request.xml")
	check(t, err)
	request, err := ocs.ParseRequest(document)
	check(t, err)
	read, err := request.Inventory()
	check(t, err)
	return read
}

func TestFactsOfUnix(t *testing.T) {
	facts := factsOf(sample(t), unixAgent)
	want := store.Computer{Name: "host01", OS: "Debian GNU/Linux 12", Family: core.Linux, Agent: unixAgent,
		Memory: 24105 << 20, Disk: 73465 << 20}
	if diff := cmp.Diff(want, facts.Computer); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(facts.Programs) != 19 ||
		facts.Programs[0] != (store.Program{Name: "bash", Version: "5.2.15-2+b8"}) ||
		!facts.Reported {
		t.Errorf("got %d programs, %v", len(facts.Programs), facts.Programs[:1])
	}
	wantAddresses := []store.Address{{MAC: "02:00:5e:10:00:01"}, {MAC: "02:00:5e:10:00:02"},
		{IP: "192.0.2.12", MAC: "02:00:5e:10:00:03"}, {IP: "fe80::fc:ff:fe00:1", MAC: "02:00:5e:10:00:03"}}
	if diff := cmp.Diff(wantAddresses, facts.Addresses); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFactsOfWindows(t *testing.T) {
	section := func(name string, pairs ...string) ocs.Section {
		s := ocs.Section{Name: name}
		for i := 0; i < len(pairs); i += 2 {
			s.Fields = append(s.Fields, ocs.Field{Name: pairs[i], Value: pairs[i+1]})
		}
		return s
	}
	facts := factsOf(ocs.Inventory{Sections: []ocs.Section{
		section("HARDWARE", "NAME", " PC7 ", "OSNAME", "Microsoft Windows 11 Pro", "MEMORY", "7950", "USERID",
			"ana", "UUID", "u-1", "IPADDR", "10.1.2.3", "CHECKSUM", "4097"),
		section("BIOS", "SSN", "ABC", "SMANUFACTURER", "Maker", "SMODEL", "M1"),
		section("DRIVES", "LETTER", "C:/", "FREE",
			"1000"), section("DRIVES", "LETTER", "D:/", "FREE", "2000.5"), section("DRIVES", "FREE", "x"),
	}}, "OCS-NG_WINDOWS_AGENT_v2.11.0.1")
	want := store.Facts{
		Computer: store.Computer{
			Name:         "PC7",
			OS:           "Microsoft Windows 11 Pro",
			Family:       core.Windows,
			Agent:        "OCS-NG_WINDOWS_AGENT_v2.11.0.1",
			User:         "ana",
			Serial:       "ABC",
			UUID:         "u-1",
			Manufacturer: "Maker",
			Model:        "M1",
			Memory:       7950 << 20,
			Disk:         2000<<20 + 1<<19,
		},
		Addresses: []store.Address{{IP: "10.1.2.3"}},
	} // programs did not change, and none are sent
	if diff := cmp.Diff(want, facts, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	mac := factsOf(ocs.Inventory{Sections: []ocs.Section{section("HARDWARE", "OSNAME", "macOS 15")}},
		unixAgent)
	if mac.Family != "" || mac.Programs == nil {
		t.Errorf("got family %q, programs %v", mac.Family, mac.Programs)
	}
}

// TestFactsWithoutSections: what an inventory leaves out is kept, whatever its CHECKSUM says.
func TestFactsWithoutSections(t *testing.T) {
	hardware := func(checksum string) ocs.Section {
		return ocs.Section{Name: "HARDWARE", Fields: []ocs.Field{{Name: "CHECKSUM", Value: checksum}}}
	}
	drives, bios := ocs.Section{Name: "DRIVES"}, ocs.Section{Name: "BIOS"}
	for _, c := range []struct {
		name               string
		sections           []ocs.Section
		keepDisk, keepBIOS bool
	}{
		{"both sent", []ocs.Section{hardware("1"), drives, bios}, false, false},
		{"neither sent, unchanged", []ocs.Section{hardware("1")}, true, true},
		{"neither sent, said to have changed", []ocs.Section{hardware("515")}, true, true},
		{"no drives", []ocs.Section{hardware("515"), bios}, true, false},
		{"no BIOS, no word on changes", []ocs.Section{{Name: "HARDWARE"}, drives}, false, true},
	} {
		facts := factsOf(ocs.Inventory{Sections: c.sections}, unixAgent)
		if facts.KeepDisk != c.keepDisk || facts.KeepBIOS != c.keepBIOS {
			t.Errorf("%s: got KeepDisk %t, KeepBIOS %t", c.name, facts.KeepDisk, facts.KeepBIOS)
		}
	}
}

func TestText(t *testing.T) {
	for from, want := range map[string]string{
		"  a \x00b\x1b[31m\u202ec\n d ": "a b[31mc  d", "\xff": "?", strings.Repeat("ñ", 200): strings.Repeat("ñ", 127), "": "",
	} {
		if from == "  a \x00b\x1b[31m\u202ec\n d " {
			want = "a b[31mc  d"
		}
		if got := text(from); got != want {
			t.Errorf("%q: got %q, want %q", from, got, want)
		}
	}
}

func FuzzFacts(f *testing.F) {
	f.Add(sample(f).Append(nil, device))
	f.Fuzz(func(t *testing.T, document []byte) {
		request, err := ocs.ParseRequest(document)
		if err != nil {
			return
		}
		read, err := request.Inventory()
		if err != nil {
			return
		}
		facts := factsOf(read, unixAgent)
		for _, value := range []string{facts.Name, facts.OS, facts.User, facts.Serial, facts.Model} {
			if len(value) > maxText || !core.Printable(value) {
				t.Fatalf("kept %q", value)
			}
		}
	})
}
