package daemon

import (
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Bounds of what is remembered of clients whose connections fail.
const (
	maxGreeted = 4096      // connections whose client has begun a handshake, the newest
	maxFailing = 1024      // addresses that were written about, the newest
	sayEvery   = time.Hour // that the log has the same of one address
)

// Hints say in words what a failed connection means.
const (
	hintDistrusts = "the client does not trust our certificate: give it cacert.pem of the data folder, " +
		"and let it call us by a name that the certificate has"
	hintLeft = "the client left when it had seen our certificate: it most likely does not trust it; give it cacert.pem of " +
		"the data folder, and let it call us by a name that the certificate has"
	hintExpired = "to the client our certificate is not valid today: see tls show, or its clock is wrong"
	hintPlain   = "plain HTTP was spoken to the HTTPS port"
	hintOld     = "the client knows no version of TLS that is allowed here; stock agents need config set STOCK_AGENTS 1 for TLS 1.2"
)

// handshakes logs what net/http complains about. That an agent refuses our certificate is the most frequent reason why
// packages stay NOTIFIED, so it is said in words that help, once an hour for each address and reason. Safe for concurrent
// use.
type handshakes struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex
	greeted recent[string, struct{}] // addresses with ports, of clients that said hello
	failing recent[complaint, quiet]
}

// A complaint is what is said of one address.
type complaint struct{ host, hint string }

// A quiet says since when a complaint is not repeated, and how often it was not.
type quiet struct {
	since   time.Time
	omitted int
}

func newHandshakes(log *slog.Logger, now func() time.Time) *handshakes {
	return &handshakes{
		log: log, now: now, greeted: recent[string, struct{}]{most: maxGreeted}, failing: recent[complaint, quiet]{most: maxFailing},
	}
}

// hello notes that a client has begun a handshake on a connection. What then ends without a word was no port scan.
func (h *handshakes) hello(from net.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.greeted.put(from.String(), struct{}{})
}

// complaintPattern takes apart what net/http writes of a failed handshake.
var complaintPattern = regexp.MustCompile(`^http: TLS handshake error from (\S+): (.*)$`)

// Write logs one complaint.
func (h *handshakes) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	address, reason := "", text
	if parts := complaintPattern.FindStringSubmatch(text); parts != nil {
		address, reason = parts[1], parts[2]
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	h.mu.Lock()
	_, greeted := h.greeted.take(address)
	hint := hintOf(reason, greeted)
	about := complaint{host, hint}
	now := h.now()
	last, known := h.failing.get(about)
	if known && host != "" && now.Sub(last.since) < sayEvery {
		last.omitted++
		h.failing.put(about, last)
		h.mu.Unlock()
		return len(line), nil
	}
	h.failing.put(about, quiet{since: now})
	h.mu.Unlock()
	h.log.Warn("connection failed", "address", address, "reason", reason, "hint", hint, "omitted", last.omitted)
	return len(line), nil
}

// hintOf says what the reason of a failed handshake means. How a client says that it does not trust us depends on its
// library and on the version of TLS. Up to 1.2, and in Go in all versions, it is an alert that names it. A client with
// OpenSSL, as the stock agent's Perl, curl and Python are, sends that alert under TLS 1.3 in a way that we cannot decrypt:
// "bad record MAC". Others close the connection or reset it.
func hintOf(reason string, greeted bool) string {
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(reason, part) {
				return true
			}
		}
		return false
	}
	switch {
	case has("unknown certificate authority", "bad certificate", "unknown certificate", "unsupported certificate",
		"revoked certificate", "certificate unobtainable", "access denied", "local error: tls: bad record MAC"):
		return hintDistrusts
	case has("expired certificate"):
		return hintExpired
	case has("client sent an HTTP request to an HTTPS server"):
		return hintPlain
	case has("unsupported versions", "protocol version not supported"):
		return hintOld
	case greeted && (reason == io.EOF.Error() || has("connection reset", "forcibly closed", "broken pipe",
		"user canceled", "close notify", "unexpected message")):
		return hintLeft
	}
	return ""
}

// A recent is a map of at most so many entries: the oldest make way.
type recent[K comparable, V any] struct {
	most   int
	values map[K]V
	order  []K // as they were put first; those that were taken are here still
}

func (r *recent[K, V]) get(key K) (V, bool) {
	value, found := r.values[key]
	return value, found
}

func (r *recent[K, V]) put(key K, value V) {
	if r.values == nil {
		r.values = map[K]V{}
	}
	if _, found := r.values[key]; !found {
		r.order = append(r.order, key)
	}
	r.values[key] = value
	for len(r.order) > r.most {
		delete(r.values, r.order[0])
		r.order = r.order[1:]
	}
}

// take returns an entry and removes it.
func (r *recent[K, V]) take(key K) (V, bool) {
	value, found := r.values[key]
	delete(r.values, key)
	return value, found
}
