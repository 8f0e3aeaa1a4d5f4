package inventory

import (
	"bytes"
	"encoding/binary"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A login is who logged in when.
type login struct {
	name string
	at   time.Time
}

// A record of utmp and wtmp, as glibc lays it out on Linux, in the processor's order:
//
//	kind     int16 at 0; 7 is a login
//	user     32 bytes at 44, ended by zeroes
//	seconds  int32 at 340; on arm64, whose records are 400 bytes long instead of 384, int64 at 344
const (
	loginKind  = 7
	userAt     = 44
	userLength = 32
)

func recordLayout() (size, secondsAt int) {
	if runtime.GOARCH == "arm64" {
		return 400, 344
	}
	return 384, 340
}

// maxRecords bounds what is read of utmp, and of the end of wtmp, in records.
const maxRecords = 4096

// parseLogins reads whole records of utmp or wtmp; what is no login of a named user is passed over.
func parseLogins(data []byte) []login {
	size, secondsAt := recordLayout()
	var logins []login
	for ; len(data) >= size; data = data[size:] {
		name, _, _ := bytes.Cut(data[userAt:userAt+userLength], []byte{0})
		if binary.NativeEndian.Uint16(data) != loginKind || len(name) == 0 {
			continue
		}
		seconds := int64(binary.NativeEndian.Uint32(data[secondsAt:]))
		if size == 400 {
			seconds = int64(binary.NativeEndian.Uint64(data[secondsAt:]))
		}
		logins = append(logins, login{name: string(name), at: time.Unix(seconds, 0)})
	}
	return logins
}

// lastRecords returns the last records of a file of them, or nothing when it cannot be read.
func (s System) lastRecords(path string) []byte {
	file, err := os.Open(s.path(path))
	if err != nil {
		return nil
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil || !stat.Mode().IsRegular() {
		return nil
	}
	size, _ := recordLayout()
	whole, most := stat.Size()/int64(size)*int64(size), maxRecords*int64(size)
	data, err := io.ReadAll(io.NewSectionReader(file, max(0, whole-most), most))
	if err != nil {
		return nil
	}
	return data
}

// users returns who is logged in, sorted, and who logged in last. Sessions are systemd's, and those of utmp,
// which newer systems no longer have; nor do they have wtmp, so that there the last login is the newest
// session.
func (s System) users() (now []string, last login) {
	names := make(map[string]bool)
	sessions := s.sessions()
	for _, one := range slices.Concat(sessions, parseLogins(s.lastRecords("/run/utmp"))) {
		names[one.name] = true
	}
	for _, one := range slices.Concat(sessions, parseLogins(s.lastRecords("/var/log/wtmp"))) {
		if last.name == "" || one.at.After(last.at) {
			last = one
		}
	}
	now = slices.Sorted(maps.Keys(names))
	return now[:min(len(now), MaxItems)], last
}

// sessions lists the users' sessions that systemd's login manager keeps, one file each.
func (s System) sessions() []login {
	const folder = "/run/systemd/sessions/"
	var logins []login
	for _, name := range s.names(folder) {
		if strings.HasSuffix(name, ".ref") {
			continue // a pipe
		}
		values := make(map[string]string)
		for line := range strings.SplitSeq(s.text(folder+name), "\n") {
			key, value, _ := strings.Cut(line, "=")
			values[key] = value
		}
		if values["CLASS"] == "user" && values["STATE"] != "closing" && values["USER"] != "" {
			logins = append(logins, login{name: values["USER"], at: microseconds(values["REALTIME"])})
		}
	}
	return logins
}

// microseconds reads a time in microseconds since 1970; the zero time when it is none.
func microseconds(text string) time.Time {
	var count int64
	for _, digit := range text {
		if digit < '0' || digit > '9' || count > 1<<58 {
			return time.Time{}
		}
		count = count*10 + int64(digit-'0')
	}
	if count == 0 {
		return time.Time{}
	}
	return time.UnixMicro(count)
}
