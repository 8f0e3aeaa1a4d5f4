// Package diagnose says what keeps an agent from its work, and what to do about it.
//
// [Run] looks at the state folder, at the way to the server, and at the computer, in the order in which one would
// look by hand, and never changes anything: it makes no file, no key, and tells the server nothing. Everything
// that the agent does by itself soon, such as renewing a certificate, is no failure.
//
// Bounds: a minute for each of at most two requests to the server, and that of an inventory.
package diagnose

import (
	"context"
	"strings"
	"time"

	"enjambre/agent/internal/config"
	"enjambre/agent/internal/failpoint"
	"enjambre/agent/internal/inventory"
	"enjambre/agent/internal/notify"
	"enjambre/agent/internal/origin"
	"enjambre/agent/internal/state"
)

// A Level says how bad a finding is.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn" // the agent works, or will; somebody should know
	Fail Level = "fail" // the agent cannot do its work
	Skip Level = "skip" // could not be looked at, because something before it failed
)

// A Check is one finding.
type Check struct {
	Name   string `json:"check"`
	Level  Level  `json:"level"`
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"` // what to do; "" when nothing is to be done
}

// Options say what to look at. The zero value of what is below the line means the real computer.
type Options struct {
	Settings config.Config // State is the folder
	Proxy    origin.Proxy

	Now      func() time.Time                                        // default time.Now
	System   inventory.System                                        // what is surveyed
	Free     func(ctx context.Context, folder string) (int64, error) // bytes free on its disk
	Session  func(context.Context) (notify.Session, bool, error)     // whose desktop is in use
	Programs []string                                                // where dialog programs are looked for
}

// A run is one diagnosis.
type run struct {
	options Options
	here    time.Time     // this computer's time
	now     time.Time     // the server's, once it has told it; else this computer's
	told    bool          // it is the server's
	folder  *state.Folder // nil when it cannot be opened
	known   state.Identity
	member  bool // known is known
	checks  []Check
}

// Run makes all checks.
func Run(ctx context.Context, options Options) []Check {
	r := &run{options: options.withDefaults()}
	r.here = r.options.Now()
	r.now = r.here
	r.stateFolder()
	r.identity()
	met := r.meet(ctx)
	r.clock(met) // first: by a wrong clock all certificates look old
	if met.isSane() {
		r.now, r.told = met.theirs, true
	}
	r.certificate()
	r.authority()
	r.way(met)
	r.answer(met)
	r.disk(ctx)
	r.dialog(ctx)
	r.ledger()
	r.inventory(ctx)
	r.agent()
	r.members()
	return r.checks
}

// Failed returns how many checks failed.
func Failed(checks []Check) (failed int) {
	for _, check := range checks {
		if check.Level == Fail {
			failed++
		}
	}
	return failed
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = failpoint.Now
	}
	if o.Free == nil {
		o.Free = freeBytes
	}
	if o.Session == nil {
		o.Session = notify.Active
	}
	if o.Programs == nil {
		o.Programs = []string{"/usr/bin", "/bin", "/usr/local/bin"}
	}
	return o
}

// add notes a finding; what is found stays on one line.
func (r *run) add(name string, level Level, found, advice string) {
	found = strings.ReplaceAll(strings.TrimSpace(found), "\n", "; ")
	r.checks = append(r.checks, Check{Name: name, Level: level, Found: found, Advice: advice})
}

// skip notes that something could not be looked at.
func (r *run) skip(reason string, names ...string) {
	for _, name := range names {
		r.add(name, Skip, reason, "")
	}
}

// date writes a day for people.
func date(t time.Time) string { return t.Local().Format("2006-01-02") }

// moment writes a time for people.
func moment(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }
