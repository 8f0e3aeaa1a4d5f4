package cases

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/e2e/lab"
)

// Events are what an agent's log tells of it, read as it grows.
type events struct {
	path string
	tail

	contacts, neighbours int
	assigned             map[core.PackageID]time.Time // when the info file was had
	complete             map[core.PackageID]time.Time // when it was whole and due
	runs                 map[core.PackageID]time.Time // when its command was started
	ended                map[core.PackageID]time.Time
}

// tail is how far a growing file was read.
type tail struct {
	offset int64
	rest   []byte // of a line whose end is not there yet
}

// maxLog bounds what is read at once.
const maxLog = 64 << 20

// lines reads what was added to a file since the last call; a missing file is empty.
func (r *tail) lines(path string) ([][]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	added, err := io.ReadAll(io.NewSectionReader(file, r.offset, maxLog))
	if err != nil {
		return nil, err
	}
	r.offset += int64(len(added))
	lines := bytes.Split(append(r.rest, added...), []byte("\n"))
	r.rest = lines[len(lines)-1]
	return lines[:len(lines)-1], nil
}

var (
	lineTime = regexp.MustCompile(`^time=(\S+) level=\S+ msg=("[^"]*"|\S+)`)
	runOrder = regexp.MustCompile(`action="?plan\.Run\{Package:(\d+)\}`)
	ofOne    = regexp.MustCompile(` package=(\d+)`)
)

// read takes in what the agent has logged since the last call.
func (e *events) read(t *testing.T) {
	t.Helper()
	lines, err := e.lines(e.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		head := lineTime.FindSubmatch(line)
		if head == nil {
			continue
		}
		at, err := time.Parse(time.RFC3339, string(head[1]))
		if err != nil {
			continue
		}
		switch string(head[2]) {
		case "contact":
			e.contacts++
		case `"neighbour joined"`:
			e.neighbours++
		case `"neighbour left"`:
			e.neighbours--
		case "decided":
			note(&e.complete, runOrder.FindSubmatch(line), at)
		case `"package assigned"`:
			note(&e.assigned, ofOne.FindSubmatch(line), at)
		case `"package runs"`:
			note(&e.runs, ofOne.FindSubmatch(line), at)
		case `"package ended"`:
			note(&e.ended, ofOne.FindSubmatch(line), at)
		}
	}
}

// note keeps the first time of a package's event.
func note(in *map[core.PackageID]time.Time, found [][]byte, at time.Time) {
	if found == nil {
		return
	}
	id, err := core.ParsePackageID(string(found[1]))
	if err != nil {
		return
	}
	if *in == nil {
		*in = map[core.PackageID]time.Time{}
	}
	if _, known := (*in)[id]; !known {
		(*in)[id] = at
	}
}

// A body is an answer of the origin that held a fragment or a part of one.
type body struct {
	began, ended time.Time
	remote       string // address and port of who asked
	bytes        int64
}

var accessLine = regexp.MustCompile(
	`^time=(\S+) .* remote=(\S+) .*path=(\S+) .*status=(20[06]) bytes=(\d+) ms=(\d+)`)

// bodies returns the answers with payload of a package to agents, as the server's access log tells. The server asks
// itself, too, when a package is activated.
func (f *fleet) bodies(p payload) []body {
	f.Helper()
	var file tail
	lines, err := file.lines(filepath.Join(f.server.Data, "logs", "access.log"))
	if err != nil {
		f.Fatal(err)
	}
	path := regexp.MustCompile(`^/download/` + p.id.String() + `/(next|` + p.id.String() + `-\d+)$`)
	var found []body
	for _, line := range lines {
		fields := accessLine.FindSubmatch(line)
		if fields == nil || !path.Match(fields[3]) {
			continue
		}
		ended, err := time.Parse(time.RFC3339, string(fields[1]))
		size, sizeErr := strconv.ParseInt(string(fields[5]), 10, 64)
		took, tookErr := strconv.Atoi(string(fields[6]))
		if err := errors.Join(err, sizeErr, tookErr); err != nil {
			f.Fatalf("access log: %q: %v", line, err)
		}
		if size > 0 && f.siteOf(string(fields[2])) >= 0 {
			began := ended.Add(-time.Duration(took) * time.Millisecond)
			found = append(found, body{began, ended, string(fields[2]), size})
		}
	}
	return found
}

// sentTo keeps the bodies that a rule names.
func sentTo(all []body, ours func(body) bool) (kept []body) {
	for _, one := range all {
		if ours(one) {
			kept = append(kept, one)
		}
	}
	return kept
}

// siteOf is the place in the topology of the site that an address is at; -1 for none.
func (f *fleet) siteOf(remote string) int {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		f.Fatal(err)
	}
	for i := range f.topology.Sites {
		if lab.Network(i).Contains(from.Addr()) {
			return i
		}
	}
	return -1
}

// lastOf returns when the last agent of a site had a package whole.
func (f *fleet) lastOf(members []*member, site core.SiteName, p payload) (last time.Time) {
	for _, m := range members {
		if at := m.log.complete[p.id]; m.site == site && at.After(last) {
			last = at
		}
	}
	return last
}

// firstByte returns when the first body of a package began.
func firstByte(bodies []body) (first time.Time) {
	for _, one := range bodies {
		if first.IsZero() || one.began.Before(first) {
			first = one.began
		}
	}
	return first
}

// lastByte returns when the last body of a package ended.
func lastByte(bodies []body) (last time.Time) {
	for _, one := range bodies {
		if one.ended.After(last) {
			last = one.ended
		}
	}
	return last
}

// payloadBytes is the sum of all bodies.
func payloadBytes(bodies []body) (sum int64) {
	for _, one := range bodies {
		sum += one.bytes
	}
	return sum
}
