// Package delivery serves the files of packages: GET /download/ID/NAME.
//
// Files never change and always come whole, with status 200 and their exact length: stock agents take a
// 304 for a failure and die of a body that is shorter than announced, so conditions are ignored. A range
// is served to those who ask for one. Only packages on record are served, whatever lies in the folder. Anybody is
// served; what is sent to who shows a certificate is told to [Sent], which counts it if it is a site's.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"time"

	"enjambre/core"
	"enjambre/server/internal/depot"
)

// Folder is the path under which packages are served, as stock servers do.
const Folder = "download"

// slowest is the rate below which a transfer is ended, in bytes per second, and grace what it has besides.
const (
	slowest = 4 << 10
	grace   = time.Minute
)

// A Handler serves files. Make one with New.
type Handler struct {
	depot    *depot.Depot
	recorded func(context.Context, core.PackageID) (bool, error)
	sent     Sent
	log      *slog.Logger
}

// New returns a Handler; recorded tells which packages may be served. Sent, unless nil, is told what those are sent who
// show a certificate.
func New(files *depot.Depot, recorded func(context.Context, core.PackageID) (bool, error), sent Sent,
	log *slog.Logger) *Handler {
	return &Handler{depot: files, recorded: recorded, sent: sent, log: log}
}

// Register adds the handler's routes.
func (h *Handler) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /"+Folder+"/{id}/{name}", h.serve)
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) {
	file, err := h.open(r.Context(), r.PathValue("id"), r.PathValue("name"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, "no such file", http.StatusNotFound)
		return
	case err != nil:
		h.log.Error("file not served", "path", r.URL.Path, "reason", err)
		http.Error(w, "the file cannot be read", http.StatusInternalServerError)
		return
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		h.log.Error("file not served", "path", r.URL.Path, "reason", err)
		http.Error(w, "the file cannot be read", http.StatusInternalServerError)
		return
	}
	for _, condition := range []string{"If-Modified-Since", "If-None-Match", "If-Unmodified-Since", "If-Match", "If-Range"} {
		r.Header.Del(condition)
	}
	limit := grace + time.Duration(stat.Size()/slowest)*time.Second
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit)) // a recorder in a test has none
	w.Header().Set("Content-Type", contentType(r.PathValue("name")))
	if h.sent == nil || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		http.ServeContent(w, r, "", stat.ModTime(), file)
		return
	}
	counted := count(w, r)
	http.ServeContent(counted, r, "", stat.ModTime(), file)
	if counted.file && counted.bytes > 0 {
		id, _ := core.ParsePackageID(r.PathValue("id")) // open has read it
		h.sent(r, id, r.PathValue("name"), counted.from, counted.bytes)
	}
}

func contentType(name string) string {
	switch name {
	case depot.InfoFile:
		return "text/xml; charset=utf-8"
	case depot.SealedFile:
		return "application/vnd.dsse+json"
	}
	return "application/octet-stream"
}

// open opens a file of a recorded package; everything else is fs.ErrNotExist.
func (h *Handler) open(ctx context.Context, text, name string) (*os.File, error) {
	id, err := core.ParsePackageID(text)
	if err != nil {
		return nil, fs.ErrNotExist
	}
	recorded, err := h.recorded(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("package %s: %w", id, err)
	}
	if !recorded {
		return nil, fs.ErrNotExist
	}
	return h.depot.Open(id, name)
}
