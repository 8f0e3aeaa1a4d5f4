package execute

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxOutput is how much of the end of a command's output a result carries, in bytes.
const MaxOutput = 4 << 10

// halfOutput bounds each of the two output files once they are cut, in bytes; a power of two.
const halfOutput = 512 << 10

// An output is the file that a command and all that it starts write to. It is a file and no pipe, so that nobody is ended
// by a signal when the shim is gone. The shim keeps it short: it gives back the room of all but the last halfOutput, and the
// file stays as long as it is. Where a file system cannot do that, the last part goes to the old file and the file is begun
// anew; what is written in the moment between is lost.
type output struct {
	folder string
	file   *os.File // the null device when it cannot be made; nil when not even that
	end    []byte   // the last of what was cut off, at most MaxOutput
	given  int64    // bytes from the beginning whose room was given back
}

func newOutput(folder string) *output {
	const flags = os.O_RDWR | os.O_CREATE | os.O_TRUNC | os.O_APPEND
	file, err := os.OpenFile(filepath.Join(folder, outputFile), flags, 0o600)
	if err != nil {
		file, _ = os.OpenFile(os.DevNull, os.O_RDWR, 0) // a disk that is full costs the output, not the command
	}
	return &output{folder: folder, file: file}
}

// cut cuts the file if it has grown too long, and reports whether it has.
func (o *output) cut() bool {
	if o.file == nil {
		return false
	}
	stat, err := o.file.Stat()
	if err != nil || stat.Size()-o.given <= 2*halfOutput {
		return false
	}
	if from := (stat.Size() - halfOutput) &^ (halfOutput - 1); giveBack(o.file, from) == nil {
		o.given = from
		return true
	}
	last, err := io.ReadAll(io.NewSectionReader(o.file, max(0, stat.Size()-halfOutput), halfOutput))
	if err != nil || o.file.Truncate(0) != nil { // who writes goes on at the new end
		return false
	}
	o.given = 0
	o.end = last[max(0, len(last)-MaxOutput):]
	_ = os.WriteFile(filepath.Join(o.folder, oldOutputFile), last, 0o600)
	return true
}

// How often it is looked whether the output has grown: the sooner, the faster it does.
const (
	minLook = 2 * time.Millisecond
	maxLook = 50 * time.Millisecond
)

// watch cuts the file whenever it is too long, until stop is closed.
func (o *output) watch(stop <-chan struct{}) {
	for pause := maxLook; ; {
		if o.cut() {
			pause = minLook
		} else {
			pause = min(2*pause, maxLook)
		}
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
	}
}

// close closes the file here; the command's processes have it open themselves.
func (o *output) close() {
	if o.file != nil {
		_ = o.file.Close()
	}
}

// text returns the end, at most MaxOutput bytes of valid UTF-8.
func (o *output) text() string {
	all := slices.Clone(o.end)
	if o.file != nil {
		if stat, err := o.file.Stat(); err == nil && stat.Mode().IsRegular() {
			from := max(0, stat.Size()-2*MaxOutput)
			if last, err := io.ReadAll(io.NewSectionReader(o.file, from, 2*MaxOutput)); err == nil {
				all = append(all, last...)
			}
		}
	}
	return endOf(all)
}

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
