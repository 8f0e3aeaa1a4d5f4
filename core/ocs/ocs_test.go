package ocs

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"enjambre/core"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const device = core.DeviceID("host01-2026-11-22-07-01-40")

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", name), got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, name)), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func mustParse(t *testing.T, document []byte) *Request {
	t.Helper()
	request, err := ParseRequest(document)
	if err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	return request
}

func TestProlog(t *testing.T) {
	document := AppendProlog(nil, device)
	if diff := cmp.Diff(string(read(t, "01-prolog-request.xml")), string(document)); diff != "" {
		t.Errorf("not what the Unix agent writes (-agent +ours):\n%s", diff)
	}
	for name, want := range map[string]core.DeviceID{"01-prolog-request.xml": device, "windows-prolog.xml": "PC7-2026-01-31-08-00-00"} {
		request := mustParse(t, read(t, name))
		if request.Query != QueryProlog || request.Device != want || request.OldDevice() != "" {
			t.Errorf("%s: got %+v", name, request)
		}
	}
	if request := mustParse(t, read(t, "windows-notify.xml")); request.Query != QueryNotify {
		t.Errorf("got query %s", request.Query)
	}
}

func TestOldDevice(t *testing.T) {
	old := "<OLD_DEVICEID>pc6-2025-01-01-00-00-00</OLD_DEVICEID>"
	for name, content := range map[string]string{
		"content":  "<CONTENT>" + old + "</CONTENT>",
		"history":  "<CONTENT><DOWNLOAD><HISTORY>" + old + "</HISTORY></DOWNLOAD></CONTENT>",
		"download": "<CONTENT><DOWNLOAD>" + old + "</DOWNLOAD></CONTENT>",
	} {
		request := mustParse(t,
			[]byte("<REQUEST><DEVICEID>"+string(device)+"</DEVICEID>"+content+"<QUERY>INVENTORY</QUERY></REQUEST>"))
		if got := request.OldDevice(); got != "pc6-2025-01-01-00-00-00" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestResult(t *testing.T) {
	files, err := filepath.Glob("testdata/06-*.xml")
	if err != nil || len(files) < 10 {
		t.Fatalf("samples: %v, %v", files, err)
	}
	for _, file := range files {
		document := read(t, filepath.Base(file))
		result, err := mustParse(t, document).Result()
		if err != nil {
			t.Fatal(err)
		}
		want := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "06-download-result-"), ".xml")
		if result.Text != want {
			t.Errorf("%s: got %q", file, result.Text)
		}
		if diff := cmp.Diff(string(document), string(result.Append(nil, device))); diff != "" {
			t.Errorf("%s: not what the Unix agent writes (-agent +ours):\n%s", file, diff)
		}
	}
	got, err := mustParse(t, read(t, "windows-download.xml")).Result()
	if want := (Result{Package: 1700000002, Text: "SUCCESS"}); err != nil || got != want {
		t.Errorf("windows: got %+v, %v", got, err)
	}
}

// TestTraces reads every message of whole runs of the stock agent, and writes its results as it does.
func TestTraces(t *testing.T) {
	files, err := filepath.Glob("testdata/0[89]-*.txt")
	if err != nil || len(files) < 7 {
		t.Fatalf("traces: %v, %v", files, err)
	}
	message := regexp.MustCompile(`(?s)<REQUEST>.*?</REQUEST>|<REQUEST [^>]*/>\n`)
	messages := 0
	for _, file := range files {
		for _, document := range message.FindAll(read(t, filepath.Base(file)), -1) {
			messages++
			request := mustParse(t, document)
			if request.Query != QueryDownload {
				continue
			}
			result, err := request.Result()
			if again := result.Append(nil, request.Device); err != nil || string(again) != string(document) {
				t.Errorf("%s: got %s, %v, want %s", file, again, err, document)
			}
		}
	}
	if messages < 35 {
		t.Errorf("only %d messages found", messages)
	}
}

// TestNotification: the Windows agent's word that its adapters have changed.
func TestNotification(t *testing.T) {
	want := []Adapter{{MAC: "02:00:5E:10:00:09", IP: "192.0.2.77"}, {MAC: "02:00:5E:10:00:0A"}}
	got, err := mustParse(t, read(t, "windows-notify.xml")).Adapters()
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestResultExtensions(t *testing.T) {
	result := Result{
		Package: 7,
		Text:    "ERR_EXECUTE",
		Exit:    "-5",
		Detail:  "E_EXEC no such file",
		Output:  "line 1\nline 2 <&>\n\ttab",
		Shared:  1 << 33,
	}
	document := result.Append(nil, device)
	golden(t, "golden-result.xml", document)
	again, err := mustParse(t, document).Result()
	if err != nil || again != result {
		t.Errorf("got %+v, %v", again, err)
	}
	long := Result{
		Package: 7,
		Text:    strings.Repeat("E", 300),
		Output:  strings.Repeat("ñ", 4000),
		Exit:    "x",
		Detail:  "a\u202eb",
		Shared:  MaxShared + 1,
	}
	cut, err := mustParse(t, long.Append(nil, device)).Result()
	if err != nil || len(cut.Text) != MaxResultText || len(cut.Output) != MaxResultOutput || cut.Exit != "" ||
		cut.Detail != "a?b" || cut.Shared != MaxShared {
		t.Errorf("got %d, %d, %q, %q, %d, %v", len(cut.Text), len(cut.Output), cut.Exit, cut.Detail, cut.Shared, err)
	}
	for _, shared := range []string{"", "x", "-1", "1.5", "1099511627777", "99999999999999999999"} {
		odd, err := mustParse(t, []byte(`<REQUEST DEVICEID="`+string(device)+
			`" ERR="SUCCESS_0" ID="7" QUERY="DOWNLOAD" SHARED="`+shared+`"/>`)).Result()
		if want := (Result{Package: 7, Text: "SUCCESS_0"}); err != nil || odd != want {
			t.Errorf("SHARED=%q: got %+v, %v", shared, odd, err)
		}
	}
	none, err := mustParse(
		t,
		[]byte(`<REQUEST DEVICEID="`+string(device)+`" ID="7" QUERY="DOWNLOAD"/>`),
	).Result()
	if err != nil || none.Text != UnknownCode {
		t.Errorf("no ERR: got %+v, %v", none, err)
	}
}

func TestPrologReply(t *testing.T) {
	reply := PrologReply{
		Response: Send, PrologFreq: 24, InventoryOnStartup: true,
		Download: &Download{
			Conf: Conf{On: true, PeriodLength: 10, CycleLatency: time.Minute, FragLatency: 10 * time.Second,
				PeriodLatency: time.Second, TimeoutDays: 30, ExecutionTimeout: 2 * time.Hour, FragsPerTurn: 1},
			Packs: []Pack{
				{
					ID:                1700000001,
					InfoLocation:      "deploy.example.net/download",
					FragmentsLocation: "[2001:db8::1]:4343/download",
				},
				{
					ID:                1700000002,
					InfoLocation:      "a/b",
					FragmentsLocation: "c/d",
					Force:             true,
					Schedule:          "2026/12/01 08:00",
					PostCommand:       "REBOOT",
				},
			},
		},
		Swarm: &Swarm{
			Site: "lyon", Origin: "deploy.example.net:443", Ticket: []byte("ticket"), Epoch: []byte("epoch"),
			Members: []Member{{ID: "12D3KooWA", Address: netip.MustParseAddrPort("10.1.0.5:4901")}},
			Keys:    []GossipKey{{Epoch: 3, Key: []byte("0123456789abcdef")}},
			Policy:  []Field{{Name: "PACE", Value: "rate"}},
			Infos: []InfoDigest{
				{Package: 1700000001, Digest: core.DigestOf(nil), Elsewhere: true, Ranked: true},
				{Package: 1700000002, Digest: core.DigestOf(nil)}, // of an earlier server
			},

			OnlineKeys:  [][]byte{bytes.Repeat([]byte{1}, 32)},
			Authorities: [][]byte{{0x30, 1}, {0x30, 2}},
		},
	}
	document := reply.Append(nil)
	golden(t, "golden-prolog-reply.xml", document)
	again, err := ParsePrologReply(document)
	if err != nil {
		t.Fatal(err)
	}
	address := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
	if diff := cmp.Diff(reply, again, address); diff != "" {
		t.Errorf("round trip (-want +got):\n%s", diff)
	}
	stop := PrologReply{Response: Stop, PrologFreq: 1}
	golden(t, "golden-prolog-reply-stop.xml", stop.Append(nil))
}

func TestPrologReplyOfStockServer(t *testing.T) {
	off, err := ParsePrologReply(read(t, "02b-prolog-reply-from-real-server-download-off.xml"))
	if err != nil || off.Download == nil || off.Download.Conf.On || off.Download.Conf.TimeoutDays != 30 ||
		len(off.Download.Packs) != 0 {
		t.Errorf("got %+v, %v", off, err)
	}
	four, err := ParsePrologReply(read(t, "02-prolog-reply-send-4-packages.xml"))
	if err != nil || four.Response != Send || len(four.Download.Packs) != 4 {
		t.Fatalf("got %+v, %v", four, err)
	}
	want := Pack{
		ID:                1700000006,
		InfoLocation:      "deploy.example.net:8443/download",
		FragmentsLocation: "deploy.example.net:8080/download",
	}
	if got := four.Download.Packs[3]; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestInventory(t *testing.T) {
	request := mustParse(t, read(t, "03-inventory-request.xml"))
	inventory, err := request.Inventory()
	if err != nil {
		t.Fatal(err)
	}
	if got := inventory.First("HARDWARE").Value("OSNAME"); got != "Debian GNU/Linux 12" {
		t.Errorf("OSNAME: got %q", got)
	}
	if got := len(inventory.All("SOFTWARES")); got != 19 {
		t.Errorf("got %d programs", got)
	}
	if !inventory.Reported || len(inventory.History) != 0 {
		t.Errorf("history: got %v %v", inventory.Reported, inventory.History)
	}
	if want := []AccountField{{Key: TagKey, Value: "PARIS"}}; !cmp.Equal(inventory.Account, want) {
		t.Errorf("account: got %v", inventory.Account)
	}
	if !inventory.Changed("SOFTWARES") || inventory.Changed("USBDEVICES") || !inventory.Changed("ACCESSLOG") {
		t.Error("CHECKSUM 1572863 has the bits of 20 sections, not that of USBDEVICES")
	}
}

func TestInventoryRoundTrip(t *testing.T) {
	inventory := Inventory{
		Sections: []Section{
			{Name: "HARDWARE", Fields: []Field{{"NAME", "büro <1>"}, {"CHECKSUM", "3"}}},
			{Name: "SOFTWARES", Fields: []Field{{"NAME", "bash"}, {"VERSION", "5.2"}}},
			{Name: "SOFTWARES", Fields: []Field{{"NAME", "dash"}}},
		},
		Account: []AccountField{{TagKey, "LYON"}, {"fields_3", "room 12"}},
		History: []core.PackageID{1700000001, 1700000002}, Reported: true,
	}
	document := inventory.Append(nil, device)
	golden(t, "golden-inventory.xml", document)
	again, err := mustParse(t, document).Inventory()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(inventory, again); diff != "" {
		t.Errorf("round trip (-want +got):\n%s", diff)
	}
}

func TestInventoryReply(t *testing.T) {
	reply := InventoryReply{Account: []AccountField{{TagKey, "Site Niño"}, {"fields_3", "room 12"}}}
	golden(t, "golden-inventory-reply.xml", reply.Append(nil))
	for _, document := range [][]byte{reply.Append(nil), read(t, "05-inventory-reply-account-update.xml")} {
		if again, err := ParseInventoryReply(document); err != nil || !cmp.Equal(again, reply) {
			t.Errorf("got %v, %v", again, err)
		}
	}
	for _, document := range [][]byte{InventoryReply{}.Append(nil), read(t, "04-inventory-reply-no-account-update.xml")} {
		if again, err := ParseInventoryReply(document); err != nil || len(again.Account) != 0 {
			t.Errorf("got %v, %v", again, err)
		}
	}
}

func TestExtensions(t *testing.T) {
	enrolment := Enrolment{Token: "one-time", Request: []byte{0x30, 1, 2}}
	golden(t, "golden-enroll.xml", enrolment.Append(nil, device))
	if again, err := mustParse(t, enrolment.Append(nil, device)).Enrolment(); err != nil ||
		!cmp.Equal(again, enrolment) {
		t.Errorf("got %v, %v", again, err)
	}
	progress := Progress{
		Packages: []PackageProgress{{1700000001, Downloading, 3, 8, "origin: 503\n<again>", 0},
			{1700000002, Installing, 1, 1, "", 1 << 40}},
	}
	golden(t, "golden-progress.xml", progress.Append(nil, device)) // as agents that pass nothing on write it
	if again, err := mustParse(t, progress.Append(nil, device)).Progress(); err != nil ||
		!cmp.Equal(again, progress) {
		t.Errorf("got %v, %v", again, err)
	}
	progress.Said = [][]byte{{16, 0, 0, 255}, {7}, bytes.Repeat([]byte{0xfb}, 110)}
	golden(t, "golden-progress-members.xml", progress.Append(nil, device))
	if again, err := mustParse(t, progress.Append(nil, device)).Progress(); err != nil ||
		!cmp.Equal(again, progress) {
		t.Errorf("got %v, %v", again, err)
	}
}

func TestEnrolmentReply(t *testing.T) {
	reply := EnrolmentReply{Deployment: "lyon", Site: "lyon-2", Certificate: []byte{0x30, 1}, Authority: []byte{0x30, 2},
		Signers: []Signer{{"ana", bytes.Repeat([]byte{7}, 32)}}, Threshold: 1}
	golden(t, "golden-enroll-reply.xml", reply.Append(nil))
	if again, err := ParseEnrolmentReply(reply.Append(nil)); err != nil || !cmp.Equal(again, reply) {
		t.Errorf("got %v, %v", again, err)
	}
	refused := EnrolmentReply{Reason: "the token is used up"}
	golden(t, "golden-enroll-refused.xml", refused.Append(nil))
	if again, err := ParseEnrolmentReply(refused.Append(nil)); err != nil || !cmp.Equal(again, refused) {
		t.Errorf("got %v, %v", again, err)
	}
	good := string(reply.Append(nil))
	for old, class := range map[string]core.Class{"lyon-2": core.ClassField, "<RESPONSE>ENROLLED</RESPONSE>": core.ClassField,
		"<DEPLOYMENT>lyon</DEPLOYMENT>": core.ClassField, ">MAE=": core.ClassField, "BwcH": core.ClassField, "<REPLY>": core.ClassXML} {
		if _, err := ParseEnrolmentReply([]byte(strings.Replace(good, old, "!", 1))); core.ClassOf(err) == "" {
			t.Errorf("without %s: got %v, want %s", old, err, class)
		}
	}
}

func TestRefusals(t *testing.T) {
	wrap := func(inside string) string {
		return "<REQUEST><DEVICEID>" + string(device) + "</DEVICEID>" + inside + "</REQUEST>"
	}
	cases := []struct {
		name, document string
		class          core.Class
	}{
		{"another root", "<REPLY/>", core.ClassXML},
		{"no query", wrap(""), core.ClassField},
		{"no device", "<REQUEST><QUERY>PROLOG</QUERY></REQUEST>", core.ClassField},
		{"bad device", "<REQUEST><QUERY>PROLOG</QUERY><DEVICEID>x</DEVICEID></REQUEST>", core.ClassField},
		{
			"device as attribute and element",
			`<REQUEST DEVICEID="` + string(device) + `"><DEVICEID>` + string(
				device) + `</DEVICEID><QUERY>PROLOG</QUERY></REQUEST>`,
			core.ClassXML,
		},
		{"query twice", wrap("<QUERY>PROLOG</QUERY><QUERY>DOWNLOAD</QUERY>"), core.ClassXML},
		{"prolog over 64 KiB", wrap("<QUERY>PROLOG</QUERY>" + strings.Repeat("<X>y</X>", 9000)), core.ClassLimit},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ParseRequest([]byte(c.document)); core.ClassOf(err) != c.class {
				t.Errorf("got %v, want %s", err, c.class)
			}
		})
	}
	results := map[string]core.Class{
		"<QUERY>DOWNLOAD</QUERY><ID>x</ID>":               core.ClassField,
		"<QUERY>DOWNLOAD</QUERY>":                         core.ClassField,
		"<QUERY>DOWNLOAD</QUERY><ID>1</ID><ID>2</ID>":     core.ClassXML,
		"<QUERY>DOWNLOAD</QUERY><ERR>A</ERR><ERR>B</ERR>": core.ClassXML,
	}
	for inside, class := range results {
		if _, err := mustParse(t, []byte(wrap(inside))).Result(); core.ClassOf(err) != class {
			t.Errorf("%s: got %v, want %s", inside, err, class)
		}
	}
}

func TestReplyRefusals(t *testing.T) {
	for document, class := range map[string]core.Class{
		"<REQUEST/>": core.ClassXML,
		"<REPLY><PROLOG_FREQ>-1</PROLOG_FREQ></REPLY>":                                                            core.ClassLimit,
		"<REPLY><OPTION><NAME>DOWNLOAD</NAME></OPTION></REPLY>":                                                   core.ClassField,
		`<REPLY><OPTION><NAME>DOWNLOAD</NAME><PARAM TYPE="CONF"/><PARAM TYPE="CONF"/></OPTION></REPLY>`:           core.ClassXML,
		`<REPLY><OPTION><NAME>DOWNLOAD</NAME><PARAM TYPE="CONF" TIMEOUT="99999999"/></OPTION></REPLY>`:            core.ClassLimit,
		`<REPLY><OPTION><NAME>DOWNLOAD</NAME><PARAM TYPE="CONF"/><PARAM TYPE="PACK" ID="../x"/></OPTION></REPLY>`: core.ClassField,
		`<REPLY><OPTION><NAME>SWARM</NAME></OPTION></REPLY>`:                                                      core.ClassField,
		`<REPLY><OPTION><NAME>SWARM</NAME><PARAM TYPE="SITE" TICKET="!"/></OPTION></REPLY>`:                       core.ClassField,
	} {
		if _, err := ParsePrologReply([]byte(document)); core.ClassOf(err) != class {
			t.Errorf("%s: got %v, want %s", document, err, class)
		}
	}
}
