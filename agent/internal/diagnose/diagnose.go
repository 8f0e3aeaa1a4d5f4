// Package diagnose says what keeps an agent from its work, and what to do about it.
//
// [Run] looks at the state folder, at the way to the server, and at the computer, in the order in which one would
// look by hand, and never changes anything: it makes no file, no key, and tells the server nothing. Everything
// that the agent does by itself soon, such as renewing a certificate, is no failure.
//
// Bounds: 15 seconds for each look, or 150 of which a minute for each of at most two requests to the server, and that of an
// inventory. What hangs is named.
package diagnose

import (
	"context"
	"fmt"
	"strings"
	"time"

	"enjambre/agent/internal/aside"
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
	Patience time.Duration                                           // with each look; default maxLook; ten times of it where the server is asked
}

// A run is one diagnosis.
type run struct {
	options Options
	here    time.Time     // this computer's time
	now     time.Time     // the server's, once it has told it; else this computer's
	told    bool          // it is the server's
	folder  *state.Folder // nil when it cannot be opened
	known   state.Identity
	member  bool    // known is known
	met     meeting // with the server
	checks  []Check
}

// Run makes all checks.
func Run(ctx context.Context, options Options) []Check {
	r := &run{options: options.withDefaults()}
	r.here = r.options.Now()
	r.now = r.here
	r.look(ctx, "state folder", (*run).stateFolder)
	r.look(ctx, "identity", (*run).identity)
	r.look(ctx, clockName, func(r *run) { // before all certificates: by a wrong clock they look old
		r.met = r.meet(ctx)
		r.clock(r.met)
		if r.met.isSane() {
			r.now, r.told = r.met.theirs, true
		}
	})
	r.look(ctx, "certificate", (*run).certificate)
	r.look(ctx, "authority", (*run).authority)
	r.way(r.met)
	r.answer(r.met)
	r.look(ctx, "disk", func(r *run) { r.disk(ctx) })
	r.look(ctx, "dialog", func(r *run) { r.dialog(ctx) })
	r.look(ctx, "ledger", (*run).ledger)
	r.look(ctx, "inventory", func(r *run) { r.inventory(ctx) })
	r.look(ctx, "agent", (*run).agent)
	r.look(ctx, "swarm", (*run).members)
	return r.checks
}

// maxLook bounds each look at this computer. To ask the server twice, or to survey all of it, may take ten times as long.
const maxLook = 15 * time.Second

// look makes one or more checks. Where the kernel waits for a disk or a server that does not answer, nothing can end
// that: then the check says so, and the others go on.
func (r *run) look(ctx context.Context, name string, check func(*run)) {
	patience := r.options.Patience
	if name == clockName || name == "inventory" {
		patience *= 10
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	mine := *r
	mine.checks = nil
	got, err := aside.Do(limited, "diagnose "+name, func() (*run, error) {
		check(&mine)
		return &mine, nil
	})
	if err != nil {
		r.add(name, Fail, fmt.Sprintf("could not be looked at within %v: %v", patience, err),
			"a disk, a network mount or a directory service hangs; the kernel's log (dmesg) may name it")
		return
	}
	before := r.checks
	*r = *got
	r.checks = append(before, got.checks...)
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
	if o.Patience == 0 {
		o.Patience = maxLook
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
