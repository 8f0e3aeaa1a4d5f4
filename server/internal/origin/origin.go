// Package origin sends the fragments of packages into sites, so that each crosses a site's WAN link once:
// GET /download/ID/next. Package lease decides what is sent to whom, package next has the request and the
// answer; this package is the shell around both.
//
// Only enrolled agents are answered, over HTTPS with their certificate. The site of an agent is its computer's.
// Of each site that asks, one goroutine owns a lease.Site, from the first request until an hour after the last.
// A computer without a site is a site of one: it is sent what it wants first, without leases and ledger.
//
// A body is written in pieces of 16 KiB, paced at the rate that the site orders, through a socket that holds
// 32 KiB: see [Limit] and [ConnContext]. So what counts as sent has left, but for that.
//
// # Who leaves
//
// A member that is revoked, deleted, or judged to be at another site is no member of its old one from then on: its
// bodies are broken off, what it was lent is free, and nobody is sent to it. Another process may have changed that,
// so a site's goroutine asks the store, with one query for all its members: every 5 s while it sends something or
// lets somebody wait, and before a request when it has not for 5 s. A store that does not answer within 2 s has said
// nothing, and nobody leaves by it. A request that was judged before the answer of which somebody left came is judged
// anew, so that none brings its member back.
//
// # Introductions
//
// When parts of a site that did not reach each other are joined by a member that reaches both (package lease,
// Introduce), one member of each is told of it with its next answer, whatever that is, if it asks within 5 min: one
// introduction is remembered for each member, the last. It names the address that the member gave at its contact.
//
// # The ledger
//
// DATA/swarm/SITE.ledger has every byte that was sent into a site, in the format of package lease, also those of the
// plain downloads of its enrolled agents: see [Handler.Outside]. It is
// appended and synced each second. A power cut loses that second, and what it tore is cut off at the next start. That
// the ledger was not closed SITE.ledger.open tells, which is there while it is in use: then what members have is booked
// where the ledger does not know it (package lease, repair). An acknowledgement that asks for nothing is answered when it
// is synced, so that who was answered need not say it again. A
// package's bytes count as long as it is on record; above 64 MiB, the entries of others are dropped when the
// ledger is opened. At 256 MiB nothing more is written, which is logged as an error.
//
// # Bounds
//
// [MaxSites] sites at once; the requests of further ones are answered 503. A site's goroutine looks at the
// store every 5 s while it sends something: so long may a deleted package be sent on, a new policy not hold, or who was
// revoked be sent something.
package origin

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/identity"
	"enjambre/core/seal"
	"enjambre/peer/id"
	"enjambre/peer/lease"
	"enjambre/peer/next"
	"enjambre/peer/owner"
	"enjambre/server/internal/accesslog"
	"enjambre/server/internal/delivery"
	"enjambre/server/internal/depot"
	"enjambre/server/internal/store"
)

// MaxSites is how many sites have a goroutine at once.
const MaxSites = 4096

// maxStarting is how many sites wait to be begun.
const maxStarting = 64

// maxJudged is how often a request is judged when members leave its site at each time. The asker is told to come again
// then.
const maxJudged = 3

// Sites says which site a caller is at; "" is none. It refuses, as package store does, a caller that may not
// speak for its computer.
type Sites interface {
	SiteOf(ctx context.Context, from store.Caller) (core.SiteName, error)
}

// Options make a Handler. All but Policy are required.
type Options struct {
	Store    *store.Store
	Sites    Sites
	Depot    *depot.Depot
	Verifier identity.Verifier
	Folder   string // of the ledgers; made if it is missing
	Log      *slog.Logger
	Policy   func(context.Context, core.SiteName) (lease.Policy, error) // nil: the default everywhere
}

// A Handler answers. Make one with New; its requests wait for Run, and are answered 503 after it.
type Handler struct {
	options Options
	starts  chan *keeper

	mu    sync.Mutex // guards what follows, and the keepers' users
	sites map[core.SiteName]*keeper
	ended bool // Run has: nothing is started any more
}

// New returns a Handler.
func New(options Options) (*Handler, error) {
	if err := os.MkdirAll(options.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("folder of the ledgers: %w", err)
	}
	return &Handler{
		options: options, starts: make(chan *keeper, maxStarting), sites: map[core.SiteName]*keeper{},
	}, nil
}

// Register adds the handler's route.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /"+delivery.Folder+"/{id}/"+next.Name, h.serve)
}

// Run keeps the sites until ctx ends, and returns once their ledgers are on the disk.
func (h *Handler) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		select {
		case k := <-h.starts:
			running.Go(func() { k.run(ctx, func(failed bool) bool { return h.retire(k, failed) }) })
		case <-ctx.Done():
			h.end()
			return nil
		}
	}
}

// end tells those who wait for a site that was not started yet.
func (h *Handler) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	for {
		select {
		case k := <-h.starts:
			close(k.done)
		default:
			return
		}
	}
}

// retire forgets a site that nobody uses, or that failed; false if somebody uses it.
func (h *Handler) retire(k *keeper, failed bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k.users > 0 && !failed {
		return false
	}
	delete(h.sites, k.name)
	return true
}

// use returns a site's keeper, which is started if need be; nil if there are too many, or Run has ended. The caller calls
// release.
func (h *Handler) use(name core.SiteName) (k *keeper, release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k = h.sites[name]
	if k == nil {
		k = newKeeper(name, &h.options)
		if h.ended || len(h.sites) >= MaxSites {
			return nil, nil
		}
		select {
		case h.starts <- k:
		default:
			return nil, nil
		}
		h.sites[name] = k
	}
	k.users++
	return k, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		k.users--
	}
}

// Totals returns what went into a site of a package since the ledger began.
func (h *Handler) Totals(ctx context.Context, site core.SiteName, digest core.Digest) (lease.Totals, error) {
	k, release := h.use(site)
	if k == nil {
		return lease.Totals{}, errors.New("too many sites at once, or the server stops")
	}
	defer release()
	query := &totalsQuery{digest: digest, answer: make(chan lease.Totals, 1)}
	if !k.tell(message{totals: query}) {
		return lease.Totals{}, errEnded
	}
	select {
	case totals := <-query.answer:
		return totals, nil
	case <-k.done:
		return lease.Totals{}, errEnded
	case <-ctx.Done():
		return lease.Totals{}, ctx.Err()
	}
}

// errInTheClear and errNobody refuse who is not proved to be an agent.
var (
	errInTheClear = errors.New("the next fragment is given over HTTPS only")
	errNobody     = errors.New("the next fragment is given to enrolled agents only, by their certificate")
)

// serve answers one request.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	if r.Method != http.MethodGet { // a HEAD would be given a lease and nothing to send
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
		return
	}
	from, peer, err := h.callerOf(r)
	if err != nil {
		h.refuse(w, r, from, err)
		return
	}
	accesslog.Name(r.Context(), from.Device)
	for range maxJudged {
		judged := time.Now()
		site, err := h.options.Sites.SiteOf(r.Context(), from)
		var a *ask
		if err == nil {
			a, err = h.read(r, peer)
		}
		switch {
		case err != nil:
			h.refuse(w, r, from, err)
			return
		case site == "":
			h.serveAlone(w, r, a)
			return
		}
		a.judged = judged
		if h.serveMember(w, r, site, a) {
			return
		}
	}
	answerBusy(w)
}

// refuse answers a request that is none, or that nobody can judge now.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, from store.Caller, err error) {
	status := statusOf(err)
	if status < http.StatusInternalServerError {
		http.Error(w, err.Error(), status)
		return
	}
	if r.Context().Err() == nil {
		h.options.Log.Error("request for the next fragment not answered", "computer", from.Device, "reason", err)
	}
	http.Error(w, "the server cannot answer now", status)
}

func statusOf(err error) int {
	for _, one := range []error{
		store.ErrUnknownComputer, store.ErrEnrolled, store.ErrNotItsKey, store.ErrRevoked, errInTheClear, errNobody,
	} {
		if errors.Is(err, one) {
			return http.StatusForbidden
		}
	}
	switch {
	case core.ClassOf(err) == core.ClassIdent:
		return http.StatusForbidden
	case core.ClassOf(err) != "":
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// callerOf returns whom the handshake has proved to ask.
func (h *Handler) callerOf(r *http.Request) (store.Caller, id.Peer, error) {
	if r.TLS == nil {
		return store.Caller{}, id.Peer{}, errInTheClear
	}
	if len(r.TLS.PeerCertificates) == 0 {
		return store.Caller{}, id.Peer{}, errNobody
	}
	certificate := r.TLS.PeerCertificates[0]
	member, err := h.options.Verifier.Verify(certificate, 0, time.Now())
	if err != nil {
		return store.Caller{}, id.Peer{}, err
	}
	public := certificate.PublicKey.(ed25519.PublicKey) // the verifier accepts no other
	peer, err := id.FromKey(public)
	return store.Caller{Device: member.Device, Key: seal.KeyIDOf(public).String()}, peer, err
}

// read takes in what a request says.
func (h *Handler) read(r *http.Request, peer id.Peer) (*ask, error) {
	said, err := next.ParseRequest(next.Header(r.Header))
	if err != nil && core.ClassOf(err) == core.ClassIdent { // a complaint about nobody; the asker is somebody
		err = core.Refuse(core.ClassField, "%v", err)
	}
	if err != nil {
		return nil, err
	}
	number, err := core.ParsePackageID(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	a := &ask{id: number, answer: make(chan answer, 1)}
	a.pack, err = h.options.Store.Package(r.Context(), number)
	if errors.Is(err, store.ErrUnknownPackage) {
		return a, nil
	}
	if err != nil { // also a record that makes no sense, which is not the asker's mistake
		return nil, fmt.Errorf("package %s: %v", number, err)
	}
	a.event = lease.MemberAsked{
		Member: peer, Package: a.pack.InfoDigest, Want: said.Want, Acknowledged: said.Acknowledged,
		Resume: lease.Resume(said.Resume), Start: lease.Start(said.Start), Weightless: said.Weight == owner.Never,
	}
	if said.CutOff {
		a.island = &lease.IslandDeclared{Member: peer, With: said.Reached}
	}
	for _, c := range said.Failed {
		a.event.Failed = append(a.event.Failed, lease.Complaint(c))
	}
	if said.Have != nil {
		a.event.Have, err = fragment.ParseSet(said.Have, a.pack.Fragments)
	}
	return a, err
}
