// Package ocsapi answers OCS messages: POST /ocsinventory.
//
// A stock agent must be answered exactly so, or it stops in the middle of its work: PROLOG and INVENTORY
// with 200 and a zlib stream, DOWNLOAD and NOTIFY with 200 and nothing. Whatever is answered with 200 has
// been made durable before, except PROGRESS, which is for display only. What is refused gets a 4xx with an
// empty body, and its reason in the log.
//
// Stock agents cannot prove who they are. They are served only where the deployment's STOCK_AGENTS says so,
// and never touch an enrolled computer's rows. Our own agents show their certificate in the TLS handshake: it
// must be of this deployment and name the device that the message does, and its key must be the one the
// computer enrolled with. ENROLL is answered over HTTPS only, since a token in the clear is anybody's.
package ocsapi

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path"
	"strconv"
	"sync"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/server/internal/accesslog"
	"enjambre/server/internal/agentapi"
	"enjambre/server/internal/setting"
	"enjambre/server/internal/store"
)

// Path is where agents post.
const Path = "/ocsinventory"

// Route returns a handler that gives requests for Path to messages and others to next. A path is Path however many
// slashes and dots it has, since stock agents use the address exactly as it is configured, and do not follow the
// redirects by which http.ServeMux corrects a path.
func Route(messages, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Clean("/"+r.URL.Path) == Path {
			messages.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// maxBusy is how many messages are decoded or answered at once. Each may hold an inflated inventory in
// memory; none waits for its sender.
const maxBusy = 16

// requestTimeout is how long a message may take in all: to be sent, to wait for its turns, to be answered.
const requestTimeout = time.Minute

// A Handler answers messages. Make one with New.
type Handler struct {
	store    *store.Store
	enroller *agentapi.Enroller
	log      *slog.Logger
	now      func() time.Time
	gate     *gate         // while a message is received
	busy     chan struct{} // while it is worked on
	touch    chan<- store.Touch
	trust    func() ([][]byte, core.Digest)
	words    *signer
	own      func(place, called string) bool
	news     *newsroom

	decoders sync.Pool // of *ocs.Decoder
}

// Options are what a Handler needs; all but Trust and Online are required.
type Options struct {
	Store    *store.Store
	Enroller *agentapi.Enroller
	Log      *slog.Logger // answered messages under Debug, refused ones under Warn
	Now      func() time.Time
	Touch    chan<- store.Touch // contacts go there; somebody must receive them, or the handler waits

	// Trust returns what enrolled agents are to verify the server with, in DER, and the digest of the set.
	// Nil, or none: they are told nothing.
	Trust func() ([][]byte, core.Digest)

	// Own reports whether a place of fragments, host[:port]/folder, is this server's, which the agent has called at the
	// host:port that is named, too. Nil: all are.
	Own func(place, called string) bool

	// Online returns the key that signs tickets and epochs, and the public keys that agents are to verify them by,
	// at most ocs.MaxKeys. Nil, or a nil key: agents are given neither.
	Online func() (ed25519.PrivateKey, [][]byte)
}

// New returns a Handler.
func New(options Options) *Handler {
	return &Handler{
		store: options.Store, enroller: options.Enroller, log: options.Log, now: options.Now,
		touch: options.Touch, trust: options.Trust, words: newSigner(options.Enroller.Deployment, options.Online),
		own: options.Own, news: newNewsroom(options),
		gate: newGate(), busy: make(chan struct{}, maxBusy),
	}
}

// Run looks for news that agents wait for until ctx ends, when all of them are answered. While it does not run, nobody
// is kept waiting.
func (h *Handler) Run(ctx context.Context) error {
	h.news.run(ctx)
	return nil
}

// ServeHTTP answers one message.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	log := h.log.With("remote", r.RemoteAddr, "agent", r.UserAgent())
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	request, who, err := h.receive(ctx, w, r)
	if err != nil {
		accesslog.Name(r.Context(), who.device)
		log.Warn("message refused", "computer", who.device, "query", who.query, "reason", err)
		h.noteRefused(ctx, who, r, err)
		refuse(w, err)
		return
	}
	accesslog.Name(r.Context(), request.Device)
	log = log.With("computer", request.Device, "query", request.Query)
	body, asked, err := h.work(ctx, request, r)
	if err == nil && asked != nil {
		request = nil // which need not be kept meanwhile
		body, err = h.await(w, r, asked)
	}
	if err != nil {
		status := statusOf(err)
		if status >= http.StatusInternalServerError {
			log.Error("message not answered", "reason", err)
		} else {
			log.Warn("message refused", "reason", err)
			h.noteRefused(ctx, who, r, err)
		}
		refuse(w, err)
		return
	}
	log.Debug("message answered", "bytes", len(body))
	reply(w, body)
}

// reply writes a 200. Stock Windows agents take nothing else for success.
func reply(w http.ResponseWriter, body []byte) {
	header := w.Header()
	header.Set("Content-Type", "application/x-compressed")
	header.Set("Cache-Control", "no-cache")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // an agent that has hung up will call again
}

// refuse answers with the status of an error and no body. Who finds the server busy may come again.
func refuse(w http.ResponseWriter, err error) {
	status := statusOf(err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "60")
	}
	w.WriteHeader(status)
}

// receive reads the body and decodes it, each when its turn has come.
func (h *Handler) receive(ctx context.Context, w http.ResponseWriter,
	r *http.Request) (*ocs.Request, sender, error) {
	leave, err := h.gate.enter(ctx, r.RemoteAddr)
	if err != nil {
		return nil, sender{}, err
	}
	defer leave()
	deadline := http.NewResponseController(w)
	_ = deadline.SetReadDeadline(time.Now().Add(requestTimeout)) // a recorder in a test has no deadline
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, ocs.MaxBody))
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return nil, sender{}, core.Refuse(core.ClassLimit, "the body is longer than %d bytes", tooLong.Limit)
	}
	if err != nil { // the sender went away, or is too slow
		return nil, sender{}, core.Refuse(core.ClassFormat, "the body cannot be read: %v", err)
	}
	if err := h.enter(ctx); err != nil {
		return nil, sender{}, err
	}
	defer h.leave()
	decoder, reused := h.decoders.Get().(*ocs.Decoder)
	if !reused {
		decoder = new(ocs.Decoder)
	}
	defer h.decoders.Put(decoder)
	document, err := decoder.Decode(body, ocs.MaxInventory)
	if err != nil {
		return nil, senderOf(document), err
	}
	parse := ocs.ParseRequest
	if showsNone(r) {
		parse = stockReader.ParseRequest
	}
	request, err := parse(document)
	if err != nil {
		return nil, senderOf(document), err
	}
	return request, sender{request.Device, request.Query}, nil
}

// enter waits until fewer than maxBusy messages are worked on.
func (h *Handler) enter(ctx context.Context) error {
	select {
	case h.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *Handler) leave() { <-h.busy }

// work answers one message when its turn has come, or says that the answer is to wait.
func (h *Handler) work(ctx context.Context, request *ocs.Request, r *http.Request) ([]byte, *waiting, error) {
	if err := h.enter(ctx); err != nil {
		return nil, nil, err
	}
	defer h.leave()
	from, err := h.callerOf(request, r)
	if err != nil {
		return nil, nil, err
	}
	return h.answer(ctx, request, from)
}

// statusOf maps errors to what stock agents expect: anything that is their mistake is a 4xx.
func statusOf(err error) int {
	switch {
	case core.ClassOf(err) == core.ClassLimit, core.ClassOf(err) == core.ClassBomb:
		return http.StatusRequestEntityTooLarge
	case isForbidden(err):
		return http.StatusForbidden
	case core.ClassOf(err) != "":
		return http.StatusBadRequest
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, store.ErrBusy):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// isForbidden reports whether an error is the sender's lack of a right.
func isForbidden(err error) bool {
	for _, one := range []error{store.ErrNotServed, store.ErrUnknownComputer, store.ErrEnrolled, store.ErrNotItsKey,
		store.ErrRevoked, store.ErrTooMany, store.ErrStockProgress, errInTheClear} {
		if errors.Is(err, one) {
			return true
		}
	}
	return core.ClassOf(err) == core.ClassIdent
}

// answer carries out one message and returns the body of its reply, or that it is to wait.
func (h *Handler) answer(ctx context.Context, request *ocs.Request, from caller) (
	body []byte, asked *waiting, err error) {
	switch request.Query {
	case ocs.QueryProlog: // which looks at the settings itself, for the sake of speed
		body, err = h.prolog(ctx, request, from)
		return body, nil, err
	case ocs.QueryEnroll:
		body, err = h.enrol(ctx, request, from)
		return body, nil, err
	}
	if from.Key == "" {
		settings, err := h.store.Settings(ctx, "")
		if err != nil {
			return nil, nil, err
		}
		if settings.Get(setting.StockAgents) == 0 {
			return nil, nil, store.ErrNotServed
		}
	}
	switch request.Query {
	case ocs.QueryInventory:
		body, err = h.inventory(ctx, request, from)
		return body, nil, err
	case ocs.QueryDownload:
		return nil, nil, h.result(ctx, request, from)
	case ocs.QueryNotify:
		return nil, nil, h.notification(ctx, request, from)
	case ocs.QueryProgress:
		return h.progress(ctx, request, from)
	}
	return nil, nil, core.Refuse(core.ClassField, "unknown query %.20q", request.Query)
}

// note records a contact, in bulk.
func (h *Handler) note(ctx context.Context, touch store.Touch) error {
	select {
	case h.touch <- touch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *Handler) inventory(ctx context.Context, request *ocs.Request, from caller) ([]byte, error) {
	inventory, err := request.Inventory()
	if err != nil {
		return nil, err
	}
	facts := factsOf(inventory, from.agent)
	facts.Device, facts.Key = from.Device, from.Key
	facts.Egress = from.egress
	update, err := h.store.SaveInventory(ctx, facts, request.OldDevice(), h.now())
	if err != nil {
		return nil, err
	}
	return ocs.Encode(ocs.InventoryReply{Account: update}.Append(nil)), nil
}

// notification takes over the addresses of adapters that changed since the last inventory.
func (h *Handler) notification(ctx context.Context, request *ocs.Request, from caller) error {
	adapters, err := request.Adapters()
	if err != nil {
		return err
	}
	return h.store.SaveAddresses(ctx, from.Caller, addressesOfAdapters(adapters), h.now())
}

func (h *Handler) result(ctx context.Context, request *ocs.Request, from caller) error {
	result, err := request.Result()
	if err != nil {
		return err
	}
	if err := h.store.SaveResult(ctx, from.Caller, result, h.now()); err != nil {
		return err
	}
	h.log.Info("result", "computer", request.Device, "package", result.Package, "text", result.Text)
	return nil
}
