package delivery

import (
	"net/http"
	"strconv"
	"strings"

	"enjambre/core"
)

// Sent is told what was sent of a package's file, from a byte on, to who showed a certificate that nobody has judged yet.
// That the system took the bytes is all that is known: of a transfer that broke, some may not have left. It is called
// before the request ends.
type Sent func(r *http.Request, id core.PackageID, name string, from, bytes int64)

// A counter counts the bytes of a file as they are written.
type counter struct {
	http.ResponseWriter
	file        bool  // the answer is the file, or one range of it
	from, bytes int64 // of the file
}

// count returns a counter for a request. Several ranges at once, which no agent asks for, are answered with the whole
// file: they could not be told from it.
func count(w http.ResponseWriter, r *http.Request) *counter {
	if strings.Contains(r.Header.Get("Range"), ",") {
		r.Header.Del("Range")
	}
	return &counter{ResponseWriter: w}
}

// WriteHeader learns what the answer is.
func (c *counter) WriteHeader(status int) {
	switch status {
	case http.StatusOK:
		c.file = true
	case http.StatusPartialContent:
		c.from, c.file = rangeStart(c.Header().Get("Content-Range"))
	}
	c.ResponseWriter.WriteHeader(status)
}

// rangeStart reads where the range of an answer begins.
func rangeStart(text string) (from int64, valid bool) {
	text, valid = strings.CutPrefix(text, "bytes ")
	first, _, found := strings.Cut(text, "-")
	from, err := strconv.ParseInt(first, 10, 64)
	return from, valid && found && err == nil
}

// Write counts.
func (c *counter) Write(data []byte) (int, error) {
	n, err := c.ResponseWriter.Write(data)
	c.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }
