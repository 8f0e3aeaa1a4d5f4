package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strings"

	"enjambre/core"
)

// An item is an entry as the archive has it, before it is judged.
type item struct {
	name    string
	typ     Type // 0 if it is none of those; refusal then says what it is
	size    int64
	mode    uint32 // the twelve permission bits of Unix
	target  string
	content io.Reader // of a file
	refusal error     // what the archive's kind has against it
	warning string    // what to know about its name
}

// A walk is one reading of one archive.
type walk struct {
	rules    Rules // limits filled in
	ratioed  int64 // bytes that the ratio allows
	tree     *tree
	report   Report
	ledger   ledger // of the report's problems
	current  string // name of the entry being read; "" between entries
	files    int
	links    []link
	linkSize int // bytes of names and targets in links
	visit    func(Entry, io.Reader) error
}

// A stop is the visitor's error on its way out.
type stop struct{ error }

func run(r io.ReaderAt, size int64, rules Rules, visit func(Entry, io.Reader) error) (Report, error) {
	if _, err := core.ParseOS(string(rules.OS)); err != nil {
		return Report{}, fmt.Errorf("check archive: %w", err)
	}
	rules.Limits = rules.Limits.withDefaults()
	w := &walk{rules: rules, tree: newTree(rules.OS), visit: visit}
	w.report.Kind = KindFor(rules.OS)
	w.ratioed = ratioFreeBytes
	if size > 0 {
		ratio := int64(rules.Limits.Ratio)
		w.ratioed = max(w.ratioed, min(size, math.MaxInt64/ratio)*ratio)
	}
	from := &source{r: r, size: size}
	err := w.read(from)
	var stopped stop
	switch {
	case from.err != nil:
		return Report{}, fmt.Errorf("read archive: %w", from.err)
	case errors.As(err, &stopped):
		return Report{}, stopped.error
	case err != nil:
		w.note(w.report.Entries, w.current, err)
	}
	if w.report.Bad > 0 {
		return w.report, &RefusedError{w.report}
	}
	return w.report, nil
}

// read reads and judges everything. Its error ends the walk; problems of single entries are noted.
func (w *walk) read(from *source) error {
	if err := from.expectKind(w.report.Kind); err != nil {
		return err
	}
	var err error
	if w.report.Kind == Zip {
		err = readZip(from, w.rules.Limits, w.judge)
	} else {
		err = readTarGz(from, w.streamLimit(), w.judge)
	}
	if err != nil {
		return err
	}
	if err := w.judgeLinks(); err != nil {
		return err
	}
	if w.files == 0 && w.report.Bad == 0 {
		return core.Refuse(core.ClassFormat, "holds no file")
	}
	w.report.Found = make(map[string]bool, len(w.rules.Find))
	for _, name := range w.rules.Find {
		parts, err := splitName(name, File, w.rules.OS)
		w.report.Found[name] = err == nil && w.tree.find(parts)
	}
	return nil
}

// streamLimit returns how long a tar may be. Its headers take 512 bytes an entry, three times that
// with a long name; 4 KiB leaves room for extended attributes.
func (w *walk) streamLimit() int64 {
	const headers = 4 << 10
	return min(w.ratioed, w.rules.Limits.TotalBytes+int64(w.rules.Limits.Entries)*headers)
}

// judge decides about one entry and delivers it. Its error ends the walk.
func (w *walk) judge(it item) error {
	if isRoot(it.name, it.typ) && it.refusal == nil {
		return nil
	}
	w.current = it.name
	if err := w.judgeEntry(it); err != nil {
		return err
	}
	w.current = "" // what fails from here on is not this entry's fault
	return nil
}

func (w *walk) judgeEntry(it item) error {
	w.report.Entries++
	if w.report.Entries > w.rules.Limits.Entries {
		return w.tooMany()
	}
	parts, err := splitName(it.name, it.typ, w.rules.OS)
	if err == nil {
		err = w.checkItem(it)
	}
	known := 0
	if err == nil {
		if over := w.checkTotal(it.size); over != nil {
			return over
		}
		known, err = w.tree.put(parts, it.typ)
	}
	if err != nil {
		w.note(w.report.Entries, it.name, err)
		return nil
	}
	if len(w.tree.nodes) > w.rules.Limits.Entries {
		return w.tooMany()
	}
	if w.tree.bytes+w.linkSize > maxTreeBytes {
		return core.Refuse(core.ClassBomb, "is one too many: all names together are longer than %d MiB",
			maxTreeBytes>>20)
	}
	return w.deliver(it, parts, known)
}

// tooMany refuses the archive for its number of entries.
func (w *walk) tooMany() error {
	return core.Refuse(core.ClassBomb, "is one too many: at most %d files, links and folders are allowed",
		w.rules.Limits.Entries)
}

// checkItem refuses an entry for what it is and for its size.
func (w *walk) checkItem(it item) error {
	switch {
	case it.typ == File && it.size > w.rules.Limits.FileBytes:
		return core.Refuse(core.ClassBomb, "unpacks to %d bytes; at most %d are allowed for one file",
			it.size, w.rules.Limits.FileBytes)
	case it.refusal != nil:
		return it.refusal
	case it.typ != File && it.size != 0:
		return core.Refuse(core.ClassFormat, "has content without being a file: pack it again with another tool")
	}
	return nil
}

// checkTotal refuses the archive for what it unpacks to, before the next size bytes are read.
func (w *walk) checkTotal(size int64) error {
	if size > w.rules.Limits.TotalBytes-w.report.Unpacked {
		return core.Refuse(core.ClassBomb, "is too much: at most %d bytes are allowed for all files together",
			w.rules.Limits.TotalBytes)
	}
	if size > w.ratioed-w.report.Unpacked {
		return core.Refuse(core.ClassBomb, "is too much: the archive would unpack to more than %d times its size",
			w.rules.Limits.Ratio)
	}
	return nil
}

// deliver hands out an accepted entry, after the folders that its name implies, and reads its content
// to the end. The first known parts of the name were delivered before.
func (w *walk) deliver(it item, parts []string, known int) error {
	last := len(parts) - 1
	for i := known; i < last; i++ {
		if err := w.show(Entry{Name: strings.Join(parts[:i+1], "/"), Type: Dir, Mode: 0o755}, nil); err != nil {
			return err
		}
	}
	w.warn(it)
	entry := Entry{Name: strings.Join(parts, "/"), Type: it.typ, Mode: fs.FileMode(it.mode) & 0o755}
	switch it.typ {
	case Dir:
		if known > last {
			return nil
		}
		entry.Mode |= 0o700 // else what it holds cannot be written
		return w.show(entry, nil)
	case Symlink:
		w.links = append(w.links, link{entry.Name, strings.Clone(it.target), w.report.Entries})
		w.linkSize += len(entry.Name) + len(it.target)
		return nil
	}
	w.files++
	entry.Size = it.size
	body := &content{r: it.content}
	shown := w.show(entry, body)
	if shown == nil && body.err == nil {
		_, _ = io.Copy(io.Discard, body) // body keeps the error
	}
	w.report.Unpacked += body.n
	if body.err != nil {
		w.note(w.report.Entries, it.name, body.err)
		return nil
	}
	return shown
}

// show calls the visitor, unless there is none or there was a problem.
func (w *walk) show(entry Entry, body *content) error {
	if w.visit == nil || w.report.Bad > 0 {
		return nil
	}
	var err error
	if body == nil {
		err = w.visit(entry, nil)
	} else {
		err = w.visit(entry, body)
	}
	if err != nil {
		return stop{err}
	}
	return nil
}

// warn notes what other programs unpack otherwise: permission bits that are not kept, and names.
func (w *walk) warn(it item) {
	if it.mode&0o7000 != 0 {
		w.warning(it.name, core.ClassType, "has a set-uid, set-gid or sticky bit, which is not unpacked")
	}
	if it.warning != "" {
		w.warning(it.name, core.ClassName, it.warning)
	}
}

func (w *walk) warning(name string, class core.Class, reason string) {
	if len(w.report.Warnings) < maxKept {
		w.report.Warnings = append(w.report.Warnings, Problem{Entry: showable(name), Class: class, Reason: reason})
	}
}

// judgeLinks decides about the links, now that everything they could pass through is known.
func (w *walk) judgeLinks() error {
	for _, l := range w.links {
		if err := w.tree.checkTarget(l.name, l.target); err != nil {
			w.note(l.position, l.name, err)
		}
	}
	for _, l := range w.links {
		if err := w.show(Entry{Name: l.name, Type: Symlink, Target: l.target}, nil); err != nil {
			return err
		}
	}
	return nil
}

// note adds a problem to the report. What is not a refusal comes from a decoder: the archive is
// damaged.
func (w *walk) note(position int, name string, err error) {
	var refusal *core.Refusal
	if !errors.As(err, &refusal) {
		refusal = &core.Refusal{Class: core.ClassFormat, Reason: "is damaged: " + err.Error()}
	}
	w.report.Bad++
	w.ledger.add(Problem{Entry: showable(name), Class: refusal.Class, Reason: refusal.Reason}, position)
	w.report.Problems = w.ledger.problems
}

// A content counts a file's bytes and remembers what went wrong with them, whatever the visitor makes
// of the error.
type content struct {
	r   io.Reader
	n   int64
	err error // other than io.EOF
}

// Read implements [io.Reader].
func (c *content) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
