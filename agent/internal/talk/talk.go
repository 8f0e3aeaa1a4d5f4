// Package talk is the agent's conversation with its server: one exchange after the other, each durable on both
// sides before the next.
//
// A contact is: the certificate renewed if that is due, the results that the server has not acknowledged, how far
// packages are, PROLOG, and the inventory if the server asks for one. A report is its results and progress alone.
// Anything may fail and be repeated: a result is sent until it is acknowledged and counted once.
package talk

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"enjambre/agent/internal/enrol"
	"enjambre/agent/internal/failpoint"
	"enjambre/agent/internal/ledger"
	"enjambre/agent/internal/origin"
	"enjambre/agent/internal/state"
	"enjambre/core"
	"enjambre/core/identity"
	"enjambre/core/ocs"
)

// Options are what a Talker needs. All but Proxy, Steady, TimeTold and Complete are required.
type Options struct {
	State  *state.Folder
	Ledger *ledger.Ledger
	Proxy  origin.Proxy
	Log    *slog.Logger
	Now    func() time.Time

	// Steady is as in origin.Options.
	Steady func() time.Duration
	// TimeTold reports whether Now is by the word of the server; nil: it is. Until then no certificate counts as old.
	TimeTold func() bool

	// Inventory surveys the computer. It returns the document's content and a function that is called once the
	// server has accepted it.
	Inventory func(context.Context, []ocs.AccountField) (inventory ocs.Inventory, accepted func() error, err error)

	// Complete adds to a PROLOG what is not the Talker's to say, just before it is sent; nil: nothing.
	Complete func(context.Context, *ocs.Prolog)
}

// A Talker speaks for one agent. Its exchanges must not overlap; Ask and Client may be called at any time.
type Talker struct {
	options Options
	known   state.Identity

	mu     sync.Mutex
	client *origin.Client
	made   string // of which authorities and certificate
}

// New returns a Talker for an enrolled agent. Where cacert.pem cannot be used now, each exchange fails with the reason,
// until the file is put right.
func New(options Options) (*Talker, error) {
	known, err := options.State.Identity()
	if err != nil {
		return nil, err
	}
	t := &Talker{options: options, known: known}
	if err := t.connect(); err != nil {
		options.Log.Error("the server cannot be called as long as this is so", "reason", err)
	}
	return t, nil
}

// Close ends idle connections.
func (t *Talker) Close() { t.Client().Close() }

// Client returns what files are fetched with.
func (t *Talker) Client() *origin.Client {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.client
}

// connect makes the client anew if the authorities or the certificate have changed on the disk: a script may have
// replaced cacert.pem. While they cannot be read, a client that was made before is used on by what is under way.
func (t *Talker) connect() error {
	err := t.reconnect()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil && t.made == "" {
		t.client = origin.Unusable(origin.Options{Address: t.known.Server, Proxy: t.options.Proxy, Now: t.options.Now}, err)
	}
	return err
}

func (t *Talker) reconnect() error {
	authorities, err := os.ReadFile(t.options.State.CAFile())
	if err != nil {
		return fmt.Errorf("the server's authority: %w", err)
	}
	certificate, err := t.options.State.Certificate()
	if err != nil {
		return err
	}
	made := string(authorities) + string(certificate.Leaf.Raw)
	t.mu.Lock()
	defer t.mu.Unlock()
	if made == t.made {
		return nil
	}
	client, err := origin.New(origin.Options{
		Address: t.known.Server, CAFile: t.options.State.CAFile(), Certificate: certificate, Proxy: t.options.Proxy,
		Now: t.options.Now, Steady: t.options.Steady,
	})
	if err != nil {
		return err
	}
	if t.client != nil {
		t.client.Close()
	}
	t.client, t.made = client, made
	return nil
}

// Contact has one contact with the server.
func (t *Talker) Contact(ctx context.Context, progress ocs.Progress) (ocs.PrologReply, error) {
	if err := t.connect(); err != nil {
		return ocs.PrologReply{}, err
	}
	if err := t.renew(ctx); err != nil {
		return ocs.PrologReply{}, err
	}
	said := t.lastContact()
	var err error
	if !said.Cloned {
		err = t.report(ctx, progress)
	}
	switch {
	case errors.Is(err, origin.ErrRefused):
		t.options.Log.Warn("results not taken by the server", "reason", err) // which may still have packages
	case err != nil:
		return ocs.PrologReply{}, err
	}
	reply, err := t.prolog(ctx, said)
	if err != nil {
		return ocs.PrologReply{}, err
	}
	if reply.Swarm != nil && len(reply.Swarm.Authorities) > 0 {
		if err := t.trust(reply.Swarm.Authorities); err != nil {
			t.options.Log.Warn("the server's next authorities are not taken over", "reason", err)
		}
	}
	if reply.Response == ocs.Send {
		if err := t.inventory(ctx); err != nil { // packages do not wait for it
			t.options.Log.Warn("inventory not sent", "reason", err)
		}
	}
	return reply, nil
}

// A said is what is remembered of the last contact that was answered, in contact.json.
type said struct {
	Last   string `json:"last"`             // its ID
	Cloned bool   `json:"cloned,omitempty"` // the server took this agent for a copy
}

const contactName = "contact"

// lastContact returns what is remembered of the last contact. What cannot be read is forgotten: for the server that is as
// if the computer had been set back once, and whether it takes us for a copy it says each time.
func (t *Talker) lastContact() said {
	last, err := state.Recall(t.options.State, contactName, said{})
	if err == nil {
		if _, parseErr := ocs.ParseContactID(last.Last); parseErr == nil {
			return last
		} else {
			err = fmt.Errorf("%s: %w", t.options.State.Path(contactName+".json"), parseErr)
		}
	}
	t.options.Log.Warn("the last contact is forgotten; the next begins anew", "reason", err)
	return said{}
}

// prolog sends a PROLOG under an ID of its own. Before the answer is acted upon, the ID is remembered: the server
// tells by these whether there are two of us.
func (t *Talker) prolog(ctx context.Context, before said) (ocs.PrologReply, error) {
	last, err := ocs.ParseContactID(before.Last)
	if err != nil {
		return ocs.PrologReply{}, fmt.Errorf("%s: %w", t.options.State.Path(contactName+".json"), err)
	}
	message := ocs.Prolog{Last: last}
	_, _ = rand.Read(message.Contact[:]) // never fails
	authorities, err := t.options.State.Authorities()
	if err != nil {
		return ocs.PrologReply{}, err
	}
	var ders [][]byte
	for _, one := range authorities {
		ders = append(ders, one.Raw)
	}
	message.Trusts = ocs.TrustDigest(ders)
	if t.options.Complete != nil {
		t.options.Complete(ctx, &message)
	}
	answer, err := t.exchange(ctx, message.Append(nil, t.known.Device))
	if err != nil {
		return ocs.PrologReply{}, err
	}
	reply, err := ocs.ParsePrologReply(answer)
	if err != nil {
		return ocs.PrologReply{}, fmt.Errorf("%s: %w", t.known.Server, err)
	}
	return reply, t.options.State.Save(contactName, said{Last: message.Contact.String(), Cloned: reply.Cloned})
}

// trust takes over the authorities that the server will be verified with, if what it showed on this very connection
// passes with them too.
func (t *Talker) trust(ders [][]byte) error {
	var authorities []*x509.Certificate
	for _, der := range ders {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			return core.Refuse(core.ClassFormat, "an authority cannot be read: %v", err)
		}
		authorities = append(authorities, one)
	}
	if err := t.Client().WouldTrust(authorities); err != nil {
		return fmt.Errorf("with them the server itself would be refused: %w", err)
	}
	if err := t.options.State.Trust(authorities); err != nil {
		return err
	}
	t.options.Log.Info("the server's authorities are learnt", "count", len(authorities))
	return nil
}

// errCloned is why a copy of another agent reports nothing.
var errCloned = errors.New("the server took this agent for a copy of another; it says nothing until a contact " +
	"says otherwise")

// Report sends results and progress.
func (t *Talker) Report(ctx context.Context, progress ocs.Progress) error {
	if err := t.connect(); err != nil {
		return err
	}
	if t.lastContact().Cloned { // and there was no contact since the agent was started
		return errCloned
	}
	return t.report(ctx, progress)
}

// Ask tells the server how far packages are and returns its word on what is new at the site, signed and not verified;
// nothing from a server that has none to say. It may be called at any time, and takes as long as progress.Wait lets it.
func (t *Talker) Ask(ctx context.Context, progress ocs.Progress) (ocs.ProgressReply, error) {
	if t.lastContact().Cloned {
		return ocs.ProgressReply{}, errCloned
	}
	answer, err := t.Client().ExchangeSlowly(ctx, progress.Append(nil, t.known.Device), progress.Wait)
	if err != nil {
		return ocs.ProgressReply{}, err
	}
	return ocs.ParseProgressReply(answer)
}

// renew renews the certificate if that is due, also where the authority of members is lost, which comes with it. A
// failure is fatal for the contact only when the old one is no longer good.
func (t *Talker) renew(ctx context.Context) error {
	certificate, err := t.options.State.Certificate()
	if err != nil {
		return err
	}
	if t.options.TimeTold != nil && !t.options.TimeTold() {
		return nil // a clock that is wrong ends no certificate; the next contact knows
	}
	now := t.options.Now()
	switch lost := t.options.State.Certified(); {
	case lost != nil:
		t.options.Log.Warn("the authority of this site's members cannot be used, and is asked for anew", "reason", lost)
	case !identity.RenewalDue(certificate.Leaf, now):
		return nil
	}
	if err := enrol.Renew(ctx, t.Client(), t.options.State, now); err != nil {
		if expired(certificate.Leaf, now) {
			return fmt.Errorf("renew the certificate of this agent: %w", err)
		}
		t.options.Log.Warn("certificate not renewed", "reason", err, "until", certificate.Leaf.NotAfter)
		return nil
	}
	t.options.Log.Info("certificate renewed")
	return t.connect()
}

func expired(certificate *x509.Certificate, now time.Time) bool {
	return now.After(certificate.NotAfter)
}

// report sends every result that is not acknowledged, then how far packages are.
func (t *Talker) report(ctx context.Context, progress ocs.Progress) error {
	var refused error
	for _, attempt := range t.options.Ledger.At(ledger.Ended) {
		err := t.result(ctx, attempt)
		if errors.Is(err, origin.ErrRefused) { // the others may do better
			refused = fmt.Errorf("result of package %s: %w", attempt.Package, err)
			continue
		}
		if err != nil {
			return err
		}
	}
	if len(progress.Packages) == 0 {
		return refused
	}
	_, err := t.exchange(ctx, progress.Append(nil, t.known.Device))
	if errors.Is(err, origin.ErrRefused) { // a server that does not know of progress
		t.options.Log.Debug("progress not taken", "reason", err)
		err = nil
	}
	return errors.Join(refused, err)
}

// result sends one result and notes that it was acknowledged.
func (t *Talker) result(ctx context.Context, attempt ledger.Attempt) error {
	result := ocs.Result{
		Package: attempt.Package, Text: attempt.Result.Text, Exit: attempt.Result.Exit,
		Detail: attempt.Result.Detail, Output: attempt.Result.Output,
		Shared: attempt.Result.Shared,
	}
	if _, err := t.exchange(ctx, result.Append(nil, t.known.Device)); err != nil {
		return err
	}
	failpoint.Hit("talk.after_result")
	if err := t.options.Ledger.Report(attempt.Package); err != nil {
		return err
	}
	t.options.Log.Info("result reported", "package", attempt.Package, "text", attempt.Result.Text)
	return nil
}

func (t *Talker) exchange(ctx context.Context, document []byte) ([]byte, error) {
	return t.Client().Exchange(ctx, document)
}

// accountName is the file of the administrative values that the server has given to this computer.
const accountName = "account"

// inventory sends the inventory and takes over the account fields that the server answers with.
func (t *Talker) inventory(ctx context.Context) error {
	account, err := state.Recall(t.options.State, accountName, []ocs.AccountField(nil))
	if err != nil {
		t.options.Log.Warn("the account fields are forgotten; the server says them anew", "reason", err)
	}
	if len(account) == 0 && t.known.Tag != "" {
		account = []ocs.AccountField{{Key: ocs.TagKey, Value: t.known.Tag}}
	}
	surveyed, accepted, err := t.options.Inventory(ctx, account)
	if err != nil {
		return err
	}
	answer, err := t.exchange(ctx, surveyed.Append(nil, t.known.Device))
	if err != nil {
		return err
	}
	reply, err := ocs.ParseInventoryReply(answer)
	if err != nil {
		return fmt.Errorf("%s: %w", t.known.Server, err)
	}
	if len(reply.Account) > 0 {
		if err := t.options.State.Save(accountName, reply.Account); err != nil {
			return err
		}
		t.options.Log.Info("account fields taken over", "fields", len(reply.Account))
	}
	return accepted()
}

// Device returns the name that the agent speaks for.
func (t *Talker) Device() core.DeviceID { return t.known.Device }
