package talk

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"enjambre/agent/internal/ledger"
	"enjambre/agent/internal/state"
	"enjambre/core"
	"enjambre/core/identity"
	"enjambre/core/ocs"
)

const device = core.DeviceID("pc-2026-01-01-00-00-00")

// A desk is a server's side of the conversation: it certifies, and answers what a test wants.
type desk struct {
	*testing.T
	*httptest.Server
	folder *state.Folder
	ledger *ledger.Ledger
	talker *Talker
	now    time.Time // of the agent

	key, caKey ed25519.PrivateKey
	ca         *x509.Certificate

	mu       sync.Mutex
	heard    []*ocs.Request // in order
	reply    ocs.PrologReply
	account  []ocs.AccountField
	refuses  ocs.Query // answered with 403
	enrols   string    // reason why renewal is refused
	accepted int       // inventories
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{T: t, now: time.Now(), reply: ocs.PrologReply{Response: ocs.Stop, PrologFreq: 1}}
	d.Server = httptest.NewTLSServer(http.HandlerFunc(d.serve))
	t.Cleanup(d.Server.Close)
	var err error
	if d.folder, err = state.Open(filepath.Join(t.TempDir(), "state")); err != nil {
		t.Fatal(err)
	}
	if d.key, err = d.folder.Key(); err != nil {
		t.Fatal(err)
	}
	d.certify()
	known := state.Identity{
		Deployment: "test", Device: device, Server: d.URL + "/ocsinventory", Site: "lyon", Tag: "T1", Threshold: 1,
		Signers: []state.Signer{{Owner: "o", Key: d.key.Public().(ed25519.PublicKey)}},
	}
	shown := d.Certificate()
	err = d.folder.Enrolled(state.Enrolment{Identity: known, Certificate: d.issue(time.Now()), Authority: d.ca})
	if err = errors.Join(err, d.folder.Trust([]*x509.Certificate{shown})); err != nil {
		t.Fatal(err)
	}
	if d.ledger, err = ledger.Open(d.folder.Path("ledger"), time.Now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.ledger.Close() })
	d.talker, err = New(Options{
		State: d.folder, Ledger: d.ledger, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return d.now },
		Inventory: func(_ context.Context, account []ocs.AccountField) (ocs.Inventory, func() error, error) {
			return ocs.Inventory{Account: account}, func() error { d.accepted++; return nil }, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// certify makes the agent CA.
func (d *desk) certify() {
	d.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		d.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "agents"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(10, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		d.Fatal(err)
	}
	d.caKey = private
	if d.ca, err = x509.ParseCertificate(der); err != nil {
		d.Fatal(err)
	}
}

// issue certifies the agent.
func (d *desk) issue(now time.Time) *x509.Certificate {
	d.Helper()
	template := identity.Template(identity.Member{Deployment: "test", Device: device}, now)
	template.SerialNumber = big.NewInt(now.UnixNano())
	der, err := x509.CreateCertificate(rand.Reader, template, d.ca, d.key.Public(), d.caKey)
	if err != nil {
		d.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		d.Fatal(err)
	}
	return certificate
}

func (d *desk) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	document, err := ocs.Decode(body, ocs.MaxInventory)
	if err != nil {
		d.Error(err)
		return
	}
	request, err := ocs.ParseRequest(document)
	if err != nil {
		d.Error(err)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.heard = append(d.heard, request)
	w.Header().Set("Date", d.now.UTC().Format(http.TimeFormat))
	switch request.Query {
	case d.refuses:
		w.WriteHeader(http.StatusForbidden)
	case ocs.QueryProlog:
		_, _ = w.Write(ocs.Encode(d.reply.Append(nil)))
	case ocs.QueryInventory:
		_, _ = w.Write(ocs.Encode(ocs.InventoryReply{Account: d.account}.Append(nil)))
	case ocs.QueryEnroll:
		reply := ocs.EnrolmentReply{Reason: d.enrols}
		if d.enrols == "" {
			reply = ocs.EnrolmentReply{
				Deployment: "test", Site: "lyon", Certificate: d.issue(d.now).Raw, Authority: d.ca.Raw, Threshold: 1,
				Signers: []ocs.Signer{{Owner: "thief", Key: make([]byte, 32)}},
			}
		}
		_, _ = w.Write(ocs.Encode(reply.Append(nil)))
	}
}

// queries returns what was heard since the last call.
func (d *desk) queries() []ocs.Query {
	var queries []ocs.Query
	for _, request := range d.heard {
		queries = append(queries, request.Query)
	}
	d.heard = nil
	return queries
}

// contact has one contact, which must be answered.
func (d *desk) contact() ocs.PrologReply {
	d.Helper()
	reply, err := d.talker.Contact(d.Context(), ocs.Progress{})
	if err != nil {
		d.Fatal(err)
	}
	return reply
}

// ended notes a result that is to be reported.
func (d *desk) ended(id core.PackageID) {
	d.Helper()
	if _, err := d.ledger.End(id, ledger.Result{Text: "SUCCESS", Shared: int64(id)}); err != nil {
		d.Fatal(err)
	}
}

// TestContact: results first, then PROLOG, then the inventory that it asks for, with the account fields given before.
func TestContact(t *testing.T) {
	d := newDesk(t)
	d.ended(1)
	d.ended(2)
	d.reply.Response = ocs.Send
	d.account = []ocs.AccountField{{Key: "TAG", Value: "given"}, {Key: "room", Value: "12"}}
	d.contact()
	want := []ocs.Query{ocs.QueryDownload, ocs.QueryDownload, ocs.QueryProlog, ocs.QueryInventory}
	if result, err := d.heard[1].Result(); err != nil || result != (ocs.Result{Package: 2, Text: "SUCCESS", Shared: 2}) {
		t.Errorf("result %+v, %v", result, err)
	}
	sent, err := d.heard[3].Inventory()
	if err != nil || len(sent.Account) != 1 || sent.Account[0].Value != "T1" {
		t.Errorf("account %+v, %v; want the tag of the enrolment", sent.Account, err)
	}
	if got := d.queries(); !slices.Equal(got, want) || len(d.ledger.At(ledger.Ended)) != 0 || d.accepted != 1 {
		t.Errorf("heard %v, %d results left, %d inventories accepted", got, len(d.ledger.At(ledger.Ended)), d.accepted)
	}
	d.contact()
	if sent, err := d.heard[1].Inventory(); err != nil || !slices.Equal(sent.Account, d.account) {
		t.Errorf("account %+v, %v; want what the server gave", sent.Account, err)
	}
}

// TestChain: each PROLOG has an ID of its own and names the last that was answered, whatever became of the others.
func TestChain(t *testing.T) {
	d := newDesk(t)
	prolog := func() ocs.Prolog {
		t.Helper()
		said, err := d.heard[len(d.heard)-1].Prolog()
		if err != nil {
			t.Fatal(err)
		}
		return said
	}
	d.contact()
	first := prolog()
	d.refuses = ocs.QueryProlog
	if _, err := d.talker.Contact(t.Context(), ocs.Progress{}); err == nil {
		t.Error("a refusal is an answer")
	}
	lost := prolog()
	d.refuses = ""
	d.contact()
	second := prolog()
	if (first.Last != ocs.ContactID{}) || lost.Last != first.Contact || second.Last != first.Contact ||
		second.Contact == lost.Contact || first.Trusts != ocs.TrustDigest([][]byte{d.Certificate().Raw}) {
		t.Errorf("got %+v, %+v, %+v", first, lost, second)
	}
}

// TestRefusedResult: a result that the server does not take keeps neither others nor the contact.
func TestRefusedResult(t *testing.T) {
	d := newDesk(t)
	d.ended(1)
	d.refuses = ocs.QueryDownload
	d.contact()
	if err := d.talker.Report(t.Context(), ocs.Progress{}); err == nil || len(d.ledger.At(ledger.Ended)) != 1 {
		t.Errorf("got %v", err)
	}
	d.refuses = ocs.QueryProgress
	progress := ocs.Progress{Packages: []ocs.PackageProgress{{Package: 3, Phase: ocs.Downloading, Of: 5}}}
	if err := d.talker.Report(t.Context(), progress); err != nil || len(d.ledger.At(ledger.Ended)) != 0 {
		t.Errorf("a server that knows no progress: %v", err)
	}
}

// TestCloned: a copy reports nothing until the server says otherwise, also after a restart.
func TestCloned(t *testing.T) {
	d := newDesk(t)
	d.reply = ocs.PrologReply{Response: ocs.Stop, Cloned: true, Reason: "two of you"}
	if reply := d.contact(); !reply.Cloned || reply.Reason != "two of you" {
		t.Errorf("got %+v", reply)
	}
	d.ended(1)
	again, err := New(d.talker.options)
	if err != nil {
		t.Fatal(err)
	}
	d.queries()
	if err := again.Report(t.Context(), ocs.Progress{}); err == nil || len(d.queries()) > 0 {
		t.Errorf("a copy reports: %v", err)
	}
	d.reply = ocs.PrologReply{Response: ocs.Stop}
	if _, err := again.Contact(t.Context(), ocs.Progress{}); err != nil {
		t.Fatal(err)
	}
	if got := d.queries(); !slices.Equal(got, []ocs.Query{ocs.QueryProlog}) {
		t.Errorf("a copy said %v", got)
	}
	d.contact()
	if got := d.queries(); !slices.Equal(got, []ocs.Query{ocs.QueryDownload, ocs.QueryProlog}) {
		t.Errorf("said %v", got)
	}
}

// TestRenewal: in time, when it is late, and when the server does not want it. The pinned keys stay.
func TestRenewal(t *testing.T) {
	d := newDesk(t)
	serial := func() *big.Int {
		t.Helper()
		certificate, err := d.folder.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		return certificate.Leaf.SerialNumber
	}
	before := serial()
	d.contact()
	if got := d.queries(); slices.Contains(got, ocs.QueryEnroll) {
		t.Errorf("too early: %v", got)
	}
	d.now = d.now.Add(11 * 24 * time.Hour)
	d.enrols = "not today"
	d.contact()
	if serial().Cmp(before) != 0 {
		t.Error("a refusal changed the certificate")
	}
	d.enrols = ""
	d.contact()
	after := serial()
	if after.Cmp(before) == 0 {
		t.Error("not renewed")
	}
	d.now = d.now.Add(300 * 24 * time.Hour)
	d.enrols = "revoked"
	if _, err := d.talker.Contact(t.Context(), ocs.Progress{}); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("expired and refused: %v", err)
	}
	d.enrols = ""
	d.contact()
	if serial().Cmp(after) == 0 {
		t.Error("an expired certificate is not renewed")
	}
	if known, err := d.folder.Identity(); err != nil || known.Signers[0].Owner != "o" {
		t.Errorf("the pinned keys are now %+v, %v", known.Signers, err)
	}
}

// TestAuthorities: the next ones are learnt only if the server itself still passes, and a file that a script replaced
// is used at the next contact.
func TestAuthorities(t *testing.T) {
	d := newDesk(t)
	caFile := d.folder.CAFile()
	before, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	d.reply.Swarm = &ocs.Swarm{Authorities: [][]byte{d.ca.Raw}}
	d.contact()
	if now, err := os.ReadFile(caFile); err != nil || !bytes.Equal(now, before) {
		t.Errorf("the agent has locked itself out: %v", err)
	}
	d.reply.Swarm.Authorities = [][]byte{d.ca.Raw, d.Certificate().Raw}
	d.contact()
	if trusted, err := d.folder.Authorities(); err != nil || len(trusted) != 2 {
		t.Errorf("trusts %d, %v", len(trusted), err)
	}
	d.contact()

	if err := d.folder.Trust([]*x509.Certificate{d.ca}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.talker.Contact(t.Context(), ocs.Progress{}); err == nil || !strings.Contains(err.Error(), caFile) {
		t.Errorf("with an authority that is not the server's: %v", err)
	}
	if err := os.WriteFile(caFile, before, 0o600); err != nil {
		t.Fatal(err)
	}
	d.contact()
}
