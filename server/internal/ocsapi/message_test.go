package ocsapi

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/server/internal/setting"
	"enjambre/server/internal/store"
)

const windowsAgent = "OCS-NG_WINDOWS_AGENT_v2.11.0.1"

// TestAnswersByteForByte: what stock agents are sent over a real connection, in order, to the last byte.
func TestAnswersByteForByte(t *testing.T) {
	l := newLab(t)
	server := httptest.NewServer(l.handler)
	defer server.Close()
	exchange := func(document, want string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+Path,
			bytes.NewReader(ocs.Encode([]byte(document))))
		check(t, err)
		request.Header.Set("User-Agent", windowsAgent)
		request.Header.Set("Accept-Encoding", "gzip")
		answer, err := http.DefaultTransport.RoundTrip(request)
		check(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		check(t, err)
		if answer.StatusCode != http.StatusOK || answer.ContentLength != int64(len(body)) ||
			answer.Header.Get("Content-Encoding") != "" || len(answer.TransferEncoding) != 0 {
			t.Errorf("got %s with %v, length %d of %d", answer.Status, answer.Header, answer.ContentLength, len(body))
		}
		got := ""
		if len(body) > 0 {
			inside, err := ocs.Decode(body, ocs.MaxMessage)
			check(t, err)
			got = string(inside)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%.60s: (-want +got):\n%s", document, diff)
		}
	}
	id := l.activated()
	conf := `      <PARAM TYPE="CONF" ON="1" PERIOD_LENGTH="10" CYCLE_LATENCY="60" ` +
		`FRAG_LATENCY="10" PERIOD_LATENCY="0" TIMEOUT="30" EXECUTION_TIMEOUT="120" />`
	prolog := func(response, packs string) string {
		return `<?xml version="1.0" encoding="UTF-8"?>` + "\n<REPLY>\n  <RESPONSE>" + response +
			"</RESPONSE>\n  <PROLOG_FREQ>24</PROLOG_FREQ>\n  <INVENTORY_ON_STARTUP>1</INVENTORY_ON_STARTUP>\n" +
			"  <OPTION>\n    <NAME>DOWNLOAD</NAME>\n" + conf[2:] + "\n" + packs + "  </OPTION>\n</REPLY>\n"
	}
	ask := `<REQUEST><DEVICEID>` + string(device) + `</DEVICEID><CONTENT /><QUERY>%s</QUERY></REQUEST>`
	exchange(fmt.Sprintf(ask, "PROLOG"), prolog("SEND", ""))
	exchange(`<?xml version="1.0" encoding="UTF-8" ?><REQUEST><DEVICEID>`+string(device)+`</DEVICEID><CONTENT>`+
		`<HARDWARE><NAME>PC7</NAME><OSNAME>Windows 11</OSNAME></HARDWARE></CONTENT><QUERY>INVENTORY</QUERY></REQUEST>`,
		`<?xml version="1.0" encoding="UTF-8"?>`+"\n<REPLY>\n  <RESPONSE>NO_ACCOUNT_UPDATE</RESPONSE>\n</REPLY>\n")
	_, err := l.store.Affect(t.Context(), store.Target{Package: id}, store.Selection{All: true}, store.AffectOptions{}, now)
	check(t, err)
	check(t, l.store.Set(t.Context(), "", setting.Frequency, 1))
	exchange(fmt.Sprintf(ask, "PROLOG"), prolog("STOP", `    <PARAM TYPE="PACK" ID="`+id.String()+
		`" INFO_LOC="a:1/d" PACK_LOC="b:2/d" CERT_PATH="INSTALL_PATH" CERT_FILE="INSTALL_PATH/cacert.pem" `+
		`SCHEDULE="" POSTCMD="" FORCE="0" />`+"\n"))
	exchange(fmt.Sprintf(ask, "NOTIFY"), "")
	exchange(`<REQUEST ID="`+id.String()+`" ERR="EXIT_CODE_-5"><DEVICEID>`+string(device)+
		`</DEVICEID><CONTENT /><QUERY>DOWNLOAD</QUERY></REQUEST>`, "")
	exchange(fmt.Sprintf(ask, "PROLOG"), prolog("STOP", ""))
}

// TestPath: the address that agents are configured with may have slashes and dots too many.
func TestPath(t *testing.T) {
	l := newLab(t)
	others := http.NewServeMux()
	others.HandleFunc("/download/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	server := httptest.NewServer(Route(l.handler, others))
	defer server.Close()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for path, want := range map[string]int{
		"/ocsinventory": 200, "/ocsinventory/": 200, "//ocsinventory": 200, "/ocsinventory/.": 200, "/ocsinventory//": 200,
		"//ocsinventory//": 200, "/./ocsinventory": 200, "/ocsinventory/./": 200, "/x/../ocsinventory": 200, "/ocsinventory/?a=b": 200,
		"/%6fcsinventory/": 200, "/ocsinventory/x": 404, "/ocsinventor": 404, "/": 404, "/x/ocsinventory": 404,
		"/download/": http.StatusTeapot,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path,
			bytes.NewReader(ocs.Encode(ocs.AppendProlog(nil, device))))
		check(t, err)
		answer, err := client.Do(request)
		check(t, err)
		check(t, answer.Body.Close())
		if answer.StatusCode != want {
			t.Errorf("%s: got %d, want %d", path, answer.StatusCode, want)
		}
	}
}

// activated makes a package for Windows with an activation.
func (l *lab) activated() core.PackageID {
	l.Helper()
	id, err := l.store.ReserveID(l.Context(), now)
	check(l, err)
	check(l, l.store.AddPackage(l.Context(), store.Package{ID: id, Name: "p", OS: core.Windows, Priority: 5,
		Action: core.Execute, SuccessCodes: []int{0}, Protocol: "HTTPS", Built: now}))
	_, err = l.store.AddActivation(l.Context(), store.Activation{Package: id, InfoURL: "a:1/d", FragmentsURL: "b:2/d", Created: now})
	check(l, err)
	return id
}

// TestRenamedComputer: a Windows agent names its old device ID in one of several places; its record goes on.
func TestRenamedComputer(t *testing.T) {
	const renamed = core.DeviceID("pc8-2026-11-20-08-00-00")
	for name, place := range map[string]string{
		"in the content":  "<OLD_DEVICEID>%s</OLD_DEVICEID>",
		"in the history":  "<DOWNLOAD><HISTORY><OLD_DEVICEID>%s</OLD_DEVICEID></HISTORY></DOWNLOAD>",
		"in the download": "<DOWNLOAD><OLD_DEVICEID>%s</OLD_DEVICEID></DOWNLOAD>",
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.send(inventory(ocs.Field{Name: "OSNAME", Value: "Windows 11"}))
			id := l.activated()
			_, err := l.store.Affect(t.Context(), store.Target{Package: id}, store.Selection{All: true}, store.AffectOptions{}, now)
			check(t, err)
			l.send([]byte(`<REQUEST><DEVICEID>` + string(renamed) + `</DEVICEID><CONTENT><HARDWARE><OSNAME>Windows 11` +
				`</OSNAME></HARDWARE>` + fmt.Sprintf(place, device) + `</CONTENT><QUERY>INVENTORY</QUERY></REQUEST>`))
			view, err := l.store.Computer(t.Context(), renamed)
			check(t, err)
			if len(view.Affectations) != 1 || view.Affectations[0].Package != id {
				t.Errorf("affectations of the renamed computer: %v", view.Affectations)
			}
			if _, err := l.store.Computer(t.Context(), device); err == nil {
				t.Error("the old name is still there")
			}
		})
	}
}

// TestUnchangedLists: lists that are not sent because they did not change stay as they are.
func TestUnchangedLists(t *testing.T) {
	l := newLab(t)
	send := func(checksum, rest string) store.ComputerView {
		t.Helper()
		l.send([]byte(`<REQUEST><DEVICEID>` + string(device) + `</DEVICEID><CONTENT><HARDWARE><CHECKSUM>` + checksum +
			`</CHECKSUM><IPADDR>10.1.2.3</IPADDR></HARDWARE>` + rest + `</CONTENT><QUERY>INVENTORY</QUERY></REQUEST>`))
		view, err := l.store.Computer(t.Context(), device)
		check(t, err)
		return view
	}
	const network = `<NETWORKS><MACADDR>02:00:00:00:00:01</MACADDR><IPADDRESS>10.1.2.3</IPADDRESS></NETWORKS>`
	first := send("1572863", network+`<SOFTWARES><NAME>bash</NAME></SOFTWARES>`)
	if len(first.Addresses) != 1 || len(first.Programs) != 1 {
		t.Fatalf("got %v and %v", first.Addresses, first.Programs)
	}
	second := send("3", "")
	if diff := cmp.Diff(first.Addresses, second.Addresses); diff != "" {
		t.Errorf("addresses of adapters that did not change (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(first.Programs, second.Programs); diff != "" {
		t.Errorf("programs that did not change (-before +after):\n%s", diff)
	}
	third := send("69635", "") // adapters and programs changed, and there are none
	if want := []store.Address{{IP: "10.1.2.3"}}; !cmp.Equal(third.Addresses, want) || len(third.Programs) != 0 {
		t.Errorf("got %v and %v", third.Addresses, third.Programs)
	}
}

// TestTextIsSettled: cutting and cleaning once is enough.
func TestTextIsSettled(t *testing.T) {
	for _, value := range []string{strings.Repeat("a", 254) + " b", strings.Repeat("€", 85) + "x", strings.Repeat("a b", 200), " \x00 x \x7f ",
		"\xff\xfe" + strings.Repeat("ñ ", 300), strings.Repeat("\U0001f600", 64)} {
		once := text(value)
		if again := text(once); again != once || len(once) > maxText || !core.Printable(once) {
			t.Errorf("%q becomes %q and then %q", value, once, again)
		}
	}
	if got := text(strings.Repeat("\U0001f600", 64)); got != strings.Repeat("\U0001f600", 63) {
		t.Errorf("got %d bytes: a text is cut between characters, no earlier than it must", len(got))
	}
}

// A brokenBody ends in an error.
type brokenBody struct{ err error }

func (b brokenBody) Read([]byte) (int, error) { return 0, b.err }

// TestBrokenBody: a sender that goes away has not sent too much.
func TestBrokenBody(t *testing.T) {
	l := newLab(t)
	recorder := httptest.NewRecorder()
	l.handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, Path, brokenBody{io.ErrUnexpectedEOF}))
	if recorder.Code != http.StatusBadRequest {
		t.Errorf("got %d, want 400", recorder.Code)
	}
}
