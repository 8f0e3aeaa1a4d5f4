package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"enjambre/core"
)

// What a body must manage: so many bytes in so long, or it is broken off. A link that is slower is no help.
const (
	progressBytes = 4 << 10
	progressTime  = time.Minute
)

// fetchAttempts is how often a fragment is gone on with after its body broke off, before it counts as failed.
const fetchAttempts = 3

// ErrNotThere says that the other side does not have a file: it answered 404 or 410.
var ErrNotThere = errors.New("not there")

// errSlow is why a body is broken off.
var errSlow = fmt.Errorf("less than %d bytes in %v", progressBytes, progressTime)

// Get fetches a file of at most so many bytes.
func (c *Client) Get(ctx context.Context, address string, most int) ([]byte, error) {
	ctx, done := c.untilRenewed(ctx)
	defer done()
	data, err := c.get(ctx, address, nil, int64(most), -1)
	if err != nil {
		return nil, c.named(address, err)
	}
	return data, nil
}

// Fragment fetches a file of exactly size bytes. A body that breaks off is gone on with, a few times, but not after
// [Client.Renew].
func (c *Client) Fragment(ctx context.Context, address string, size int64) ([]byte, error) {
	ctx, done := c.untilRenewed(ctx)
	defer done()
	data := make([]byte, 0, size) // which is signed, and at most core.MaxFragmentSize
	var err error
	for range fetchAttempts {
		before := len(data)
		data, err = c.get(ctx, address, data, size, size)
		var broken *brokenError
		if err == nil || !errors.As(err, &broken) || len(data) == before || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return nil, c.named(address, err)
	}
	return data, nil
}

// A brokenError is a body that ended before it was whole.
type brokenError struct{ error }

func (e *brokenError) Unwrap() error { return e.error }

// get fetches a file, behind what of it is there already. It returns all it has also with an error. A size
// that is not known is negative.
func (c *Client) get(ctx context.Context, address string, have []byte, most, size int64) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slow := time.AfterFunc(c.patience, func() { cancel(errSlow) })
	defer slow.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return have, err
	}
	request.Header.Set("User-Agent", userAgent)
	if len(have) > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", len(have)))
	}
	response, err := c.file.Do(request)
	if err != nil {
		return have, errors.Join(context.Cause(ctx), err)
	}
	defer response.Body.Close()
	if have, err = checkAnswer(response, have, size); err != nil {
		return have, err
	}
	progress := func() { slow.Reset(c.patience) }
	have, err = readOn(response.Body, have, most, progress)
	switch {
	case context.Cause(ctx) != nil:
		return have, &brokenError{context.Cause(ctx)}
	case err != nil:
		return have, err
	case size >= 0 && int64(len(have)) != size:
		return have, &brokenError{fmt.Errorf("%d bytes, want %d", len(have), size)}
	}
	return have, nil
}

// checkAnswer refuses an answer that is not the file, and says what of have it goes on from.
func checkAnswer(response *http.Response, have []byte, size int64) ([]byte, error) {
	switch response.StatusCode {
	case http.StatusOK:
		have = have[:0] // whole, whatever was asked for
	case http.StatusPartialContent:
		want := fmt.Sprintf("bytes %d-%d/%d", len(have), size-1, size)
		if got := response.Header.Get("Content-Range"); len(have) == 0 || got != want {
			return nil, core.Refuse(core.ClassField, "it answers with the part %.60q, want %q", got, want)
		}
	case http.StatusNotFound, http.StatusGone:
		return have, fmt.Errorf("%w: it answered %s", ErrNotThere, status(response))
	default:
		return have, fmt.Errorf("it answered %s", status(response))
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" {
		return nil, core.Refuse(core.ClassField, "it answers with the encoding %.60q, which nobody asked for", encoding)
	}
	if length := response.ContentLength; size >= 0 && length >= 0 && length != size-int64(len(have)) {
		return nil, core.Refuse(core.ClassHash, "it has %d bytes, want %d", int64(len(have))+length, size)
	}
	return have, nil
}

// readOn appends a body to have, calling progress each time progressBytes have come.
func readOn(body io.Reader, have []byte, most int64, progress func()) ([]byte, error) {
	buffer := make([]byte, 64<<10)
	since := 0
	for {
		n, err := body.Read(buffer)
		have = append(have, buffer[:n]...)
		if int64(len(have)) > most {
			return nil, core.Refuse(core.ClassLimit, "it is longer than %d bytes", most)
		}
		if since += n; since >= progressBytes {
			progress()
			since = 0
		}
		switch {
		case errors.Is(err, io.EOF):
			return have, nil
		case err != nil:
			return have, &brokenError{err}
		}
	}
}

// named says which address an error is about.
func (c *Client) named(address string, err error) error {
	var failed *url.Error
	if errors.As(err, &failed) || core.ClassOf(err) == "" && !errors.Is(err, ErrNotThere) {
		err = c.cause(err)
	}
	return fmt.Errorf("%s: %w", address, err)
}
