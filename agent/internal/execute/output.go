package execute

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// MaxOutput is how much of the end of a command's output a result carries, in bytes.
const MaxOutput = 4 << 10

// halfOutput bounds each of the two output files, in bytes.
const halfOutput = 512 << 10

// An output keeps the end of what a command says, on disk for people and in memory for the result. However
// much a command says, it takes two files of halfOutput. A disk that fails or is full costs the files, not
// the result, and not the command.
type output struct {
	folder string
	file   *os.File // nil when it cannot be written
	size   int      // of file
	end    []byte   // the last bytes, at most twice MaxOutput
}

func newOutput(folder string) *output {
	o := &output{folder: folder}
	o.rotate()
	return o
}

// rotate begins a new file; the one before becomes the old one.
func (o *output) rotate() {
	path := filepath.Join(o.folder, outputFile)
	if o.file != nil {
		_ = o.file.Close()
		_ = os.Rename(path, filepath.Join(o.folder, oldOutputFile))
	}
	o.size = 0
	o.file, _ = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

// Write implements [io.Writer]; it never fails, since that would end the command.
func (o *output) Write(p []byte) (int, error) {
	written := len(p)
	o.end = append(o.end, p[max(0, len(p)-MaxOutput):]...)
	if len(o.end) > 2*MaxOutput {
		o.end = append(o.end[:0], o.end[len(o.end)-MaxOutput:]...)
	}
	for len(p) > 0 && o.file != nil {
		if o.size >= halfOutput {
			o.rotate()
			continue
		}
		n, err := o.file.Write(p[:min(len(p), halfOutput-o.size)])
		p, o.size = p[n:], o.size+n
		if err != nil {
			_ = o.file.Close()
			o.file = nil
		}
	}
	return written, nil
}

// close closes the file.
func (o *output) close() {
	if o.file != nil {
		_ = o.file.Close()
		o.file = nil
	}
}

// text returns the end, at most MaxOutput bytes of valid UTF-8.
func (o *output) text() string { return endOf(o.end) }

// endOf returns the end of a text, at most MaxOutput bytes of valid UTF-8, beginning with a whole character.
// What is not UTF-8 is replaced by U+FFFD.
func endOf(raw []byte) string {
	cut := max(0, len(raw)-MaxOutput)
	for i := 0; cut > 0 && i < utf8.UTFMax-1 && cut < len(raw) && !utf8.RuneStart(raw[cut]); i++ {
		cut++
	}
	text := strings.ToValidUTF8(string(raw[cut:]), "\uFFFD")
	for len(text) > MaxOutput {
		_, size := utf8.DecodeRuneInString(text)
		text = text[size:]
	}
	return text
}

// readOutput returns the end of the output files of a command whose shim is gone.
func readOutput(folder string) string {
	var all []byte
	for _, name := range []string{oldOutputFile, outputFile} {
		end, err := readEnd(filepath.Join(folder, name), 2*MaxOutput)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return ""
		}
		all = append(all, end...)
	}
	return endOf(all)
}

// readEnd reads the last n bytes of a file.
func readEnd(path string, n int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	var data []byte
	if err == nil {
		data, err = io.ReadAll(io.NewSectionReader(file, max(0, info.Size()-n), n))
	}
	return data, errors.Join(err, file.Close())
}
