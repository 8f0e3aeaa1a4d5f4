// Package accesslog writes one line for every request answered: when, by whom, what, how many bytes,
// and over which TLS. Administrators find here which computer fetched what. A status of 0 says that the
// handler gave up before anything was sent.
package accesslog

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"

	"enjambre/core"
)

// entry is what the handlers inside know of a request and the log does not.
type entry struct{ computer core.DeviceID }

type entryKey struct{}

// Name notes which computer a request is from.
func Name(ctx context.Context, computer core.DeviceID) {
	if e, inside := ctx.Value(entryKey{}).(*entry); inside {
		e.computer = computer
	}
}

// Wrap returns a handler that logs each request to log after next has answered it.
func Wrap(next http.Handler, log *slog.Logger, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e := &entry{}
		counted := &counter{ResponseWriter: w}
		start := now()
		defer func() { // also when a handler aborts a body
			version, cipher := "-", "-"
			if r.TLS != nil {
				version, cipher = tls.VersionName(r.TLS.Version), tls.CipherSuiteName(r.TLS.CipherSuite)
			}
			log.Info("request", "remote", r.RemoteAddr, "computer", string(e.computer), "method", r.Method,
				"path", r.URL.Path, "range", r.Header.Get("Range"), "status", counted.status, "bytes", counted.bytes,
				"ms", now().Sub(start).Milliseconds(), "agent", r.UserAgent(), "tls", version, "cipher", cipher)
		}()
		next.ServeHTTP(counted, r.WithContext(context.WithValue(r.Context(), entryKey{}, e)))
		counted.begin(http.StatusOK) // as net/http answers for a handler that wrote nothing
	})
}

// A counter counts the bytes of a body as they are written.
type counter struct {
	http.ResponseWriter
	status int // 0 until the answer begins
	bytes  int64
}

// begin remembers the status that the client is sent: the first that is final.
func (c *counter) begin(status int) {
	if c.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		c.status = status
	}
}

// WriteHeader remembers the status.
func (c *counter) WriteHeader(status int) {
	c.begin(status)
	c.ResponseWriter.WriteHeader(status)
}

// Write counts.
func (c *counter) Write(data []byte) (int, error) {
	c.begin(http.StatusOK)
	n, err := c.ResponseWriter.Write(data)
	c.bytes += int64(n)
	return n, err
}

// FlushError begins the answer, since a flush sends its head.
func (c *counter) FlushError() error {
	c.begin(http.StatusOK)
	return http.NewResponseController(c.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach the connection.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }
