package inventory

import (
	"strconv"
	"strings"
	"time"
)

// rpmFormat is what rpm is asked to write of each package, a line each. The summary comes last, since it is
// the one that could hold a tab.
const rpmFormat = `%{NAME}\t%{EPOCH}\t%{VERSION}-%{RELEASE}\t%{ARCH}\t%{VENDOR}\t` +
	`%{INSTALLTIME}\t%{SIZE}\t%{SUMMARY}\n`

const rpmColumns = 8

// An rpmProgram is a program with the time of its installation, which rpm knows; zero when it does not.
type rpmProgram struct {
	program
	installed time.Time
}

// parseRPM reads what rpm wrote in rpmFormat, at most most packages; cut says that there were more. Lines of
// another form are passed over, and the public keys that rpm lists among packages are left out.
func parseRPM(output string, most int) (programs []rpmProgram, cut bool) {
	for line := range strings.SplitSeq(output, "\n") {
		columns := strings.SplitN(line, "\t", rpmColumns)
		for i, column := range columns {
			if column == "(none)" {
				columns[i] = ""
			}
		}
		if len(columns) != rpmColumns || columns[0] == "" || columns[0] == "gpg-pubkey" {
			continue
		}
		if len(programs) == most {
			return programs, true
		}
		one := rpmProgram{program: program{
			name: columns[0], version: columns[2], architecture: columns[3], publisher: columns[4],
			comments: columns[7],
		}}
		if columns[1] != "" && columns[1] != "0" {
			one.version = columns[1] + ":" + one.version
		}
		if seconds, err := strconv.ParseInt(columns[5], 10, 64); err == nil && seconds > 0 && seconds < 1<<40 {
			one.installed = time.Unix(seconds, 0)
		}
		if size, err := strconv.ParseInt(columns[6], 10, 64); err == nil && size > 0 {
			one.bytes = size
		}
		programs = append(programs, one)
	}
	return programs, false
}
