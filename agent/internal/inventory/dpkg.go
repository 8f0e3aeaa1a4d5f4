package inventory

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const softwares = "SOFTWARES"

// A program is one installed package of a database.
type program struct {
	name, version, architecture string
	publisher, comments         string
	bytes                       int64 // installed size; 0 when unknown
	multiArch                   bool  // dpkg: files are kept under name and architecture
}

// maxDatabase bounds dpkg's status file, in bytes; 1,000 packages take 1 MB.
const maxDatabase = 256 << 20

// maxLine is what is kept of one line of the status file, in bytes; the rest of a longer one is passed over.
const maxLine = 4 << 10

// parseDpkg reads dpkg's status file: paragraphs of "Field: value" lines, continued by lines that begin with
// a blank. Only packages that are installed now are returned, at most most of them; cut says that there were
// more. What it does not understand it passes over, since that file is dpkg's to judge.
func parseDpkg(from io.Reader, most int) (programs []program, cut bool, err error) {
	limited := &io.LimitedReader{R: from, N: maxDatabase}
	reader := bufio.NewReaderSize(limited, maxLine)
	var paragraph stanza
	for {
		line, err := reader.ReadSlice('\n')
		text := strings.TrimRight(string(line), "\r\n")
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			if err := skipLine(reader); err != nil && err != io.EOF {
				return nil, false, err
			}
		case err != nil && err != io.EOF:
			return nil, false, err
		}
		if strings.TrimSpace(text) != "" {
			paragraph.read(text)
		}
		if ended := err == io.EOF; ended || strings.TrimSpace(text) == "" {
			if paragraph.complete() {
				if len(programs) == most {
					return programs, true, nil
				}
				programs = append(programs, paragraph.program)
			}
			paragraph = stanza{}
			if ended && limited.N == 0 {
				return nil, false, fmt.Errorf("dpkg's status file has %d bytes or more", maxDatabase)
			}
			if ended {
				return programs, false, nil
			}
		}
	}
}

// skipLine passes over the rest of a line that is longer than the buffer.
func skipLine(reader *bufio.Reader) error {
	for {
		if _, err := reader.ReadSlice('\n'); !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// A stanza is one paragraph as far as it is read.
type stanza struct {
	program
	installed bool
}

func (s *stanza) complete() bool { return s.installed && validPackage(s.name) }

func (s *stanza) read(line string) {
	if line[0] == ' ' || line[0] == '\t' {
		return // a continuation; of what is read here only the first line counts
	}
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimSpace(value)
	switch strings.ToLower(field) {
	case "package":
		s.name = value
	case "version":
		s.version = value
	case "architecture":
		s.architecture = value
	case "maintainer":
		s.publisher = value
	case "description":
		s.comments = value
	case "multi-arch":
		s.multiArch = value == "same"
	case "installed-size":
		if kibibytes, err := strconv.ParseInt(value, 10, 64); err == nil && kibibytes > 0 && kibibytes < 1<<40 {
			s.bytes = kibibytes << 10
		}
	case "status": // what is wanted, whether it is broken, and how it is now: "install ok installed"
		words := strings.Fields(value)
		s.installed = len(words) == 3 && words[2] == "installed"
	}
}

// validPackage reports whether a name is one that dpkg allows, so that it may be part of a path.
func validPackage(name string) bool {
	if name == "" || len(name) > 255 || strings.Trim(name[:1], "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == ""
}
