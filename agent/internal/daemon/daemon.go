// Package daemon is the running agent: it carries out what agent/internal/plan decides.
//
// One goroutine owns the plan. Everything that takes time (talking to the server, fetching, running) happens in
// a goroutine of its own, which hands back what to tell the plan; [Run] returns when all of them have. What is
// decided is remembered before it is done: assignments in work.json, results and intents in the ledger.
//
// A command runs in a process of its own, the shim (agent/internal/execute), which outlives the agent. The agent
// finds it, or what it left, when it starts again; see recover.go.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"enjambre/agent/internal/enrol"
	"enjambre/agent/internal/execute"
	"enjambre/agent/internal/inventory"
	"enjambre/agent/internal/ledger"
	"enjambre/agent/internal/origin"
	"enjambre/agent/internal/plan"
	"enjambre/agent/internal/state"
	"enjambre/agent/internal/talk"
	"enjambre/agent/internal/vault"
	"enjambre/core"
	"enjambre/core/cycle"
)

// Options say how to run. State, Program and Log are required.
type Options struct {
	State   *state.Folder
	Program string // the agent's own program, which is also the shim
	Log     *slog.Logger
	Proxy   origin.Proxy
	Once    bool          // one contact, then until nothing is left
	MaxTime time.Duration // of Once; 0 = no end

	VaultBytes   int64 // most that the vault takes; 0 = its default
	VaultReserve int64 // bytes that stay free on the disk; 0 = its default

	SwarmOff  bool   // no part in the site's swarm
	SwarmPort uint16 // UDP, where members reach the agent; 0 = any that is free
	SwarmMDNS bool   // find members by mDNS too

	SwarmTunnels bool // be a member also by a tunnel or a metered line
}

// Names of what is remembered in the state folder.
const (
	workName  = "work"
	clockName = "clock"
	vaultName = "packages"
	jobsName  = "jobs"
)

// LedgerName is the file of the ledger in the state folder.
const LedgerName = "ledger"

// flushAfter is how long a fragment may be stored without being durable.
const flushAfter = time.Second

// A memory is what is kept in work.json.
type memory struct {
	Assignments []plan.Assignment `json:"assignments"`
	Conf        cycle.Options     `json:"conf"`
	ExecTime    time.Duration     `json:"execTime,omitempty"` // longest run of a command that does not say its own
	Interval    time.Duration     `json:"interval,omitempty"` // between contacts
	Answered    time.Time         `json:"answered,omitzero"`  // when the server last answered
	Origin      plan.Origin       `json:"origin,omitzero"`    // that grants leases
}

// An answer is what an effect has to tell: it is called by the goroutine that owns the plan, and returns the
// event for it, or nil.
type answer func() plan.Event

// A daemon is one run of the agent.
type daemon struct {
	options Options
	known   state.Identity
	clock   *clock
	ledger  *ledger.Ledger
	vault   *vault.Vault
	talker  *talk.Talker
	plan    *plan.Plan

	effects sync.WaitGroup
	answers chan answer

	memory memory
	saved  *memory // as it is on the disk; nil: not known
	queue  []plan.Event

	unflushed map[core.PackageID]bool
	flushAt   time.Time
	swarm     swarming
	following following
	slept     time.Duration // by the computer, as it was last looked at
	lookedAt  time.Time     // when that was
	shown     display
	failed    []core.PackageID // that ended badly in this run
	contacted error            // of the last contact

	hung bool // something did not end: what it holds is not waited for

	undated []core.PackageID // kept since the start, before the server had told the time

	begun []begun // of what an origin sends that grants leases

	refusals    int   // of results, in a row
	undelivered error // the last of them

	broken error // what keeps the agent from going on: only a new start can tell what the disk holds

	cancels map[core.PackageID]context.CancelFunc // of runs whose command has perhaps not started
}

// Run runs the agent until ctx ends, or, with Once, until nothing is left to do. It returns nil after an orderly
// end. With Once the error lists what is unfinished or failed, one a line.
//
// An agent that is not enrolled, or whose state comes from another computer, ends with [state.ErrNotEnrolled].
func Run(ctx context.Context, options Options) (err error) {
	execute.SetMask() // for what is unpacked; our own files say themselves that they are nobody else's
	if _, err := options.State.Identity(); err != nil {
		return err
	}
	unlock, err := options.State.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	machine := inventory.Fingerprint(inventory.System{Log: options.Log})
	if err := enrol.CheckMachine(options.State, machine, time.Now(), options.Log); err != nil {
		return err
	}
	known, err := options.State.Identity()
	if err == nil {
		_, err = options.State.Certificate() // without, nobody believes who we are
	}
	if err != nil {
		return err
	}
	d := &daemon{
		options: options, known: known, answers: make(chan answer), unflushed: map[core.PackageID]bool{},
		cancels: map[core.PackageID]context.CancelFunc{},
	}
	if err := d.open(); err != nil {
		return errors.Join(err, d.close())
	}
	defer func() { err = errors.Join(err, d.close()) }()
	return d.work(ctx)
}

// open opens everything and resumes.
func (d *daemon) open() (err error) {
	d.clock = newClock(d.options.State, d.options.Log)
	if d.ledger, err = ledger.Open(d.options.State.Path(LedgerName), d.clock.now); err != nil {
		return err
	}
	if dropped := d.ledger.Dropped(); dropped > 0 {
		d.options.Log.Warn("the ledger's last line was cut short; dropped", "bytes", dropped)
	}
	d.vault, err = vault.Open(d.options.State.Path(vaultName), vault.Options{
		Policy: d.known.Policy(), Deployment: d.known.Deployment, Log: d.options.Log,
		MaxBytes: d.options.VaultBytes, Reserve: d.options.VaultReserve, Evicted: d.evicted,
	})
	if err != nil {
		return err
	}
	d.resumeSources()
	if err := d.openSwarm(); err != nil {
		return err
	}
	d.talker, err = talk.New(talk.Options{
		State: d.options.State, Ledger: d.ledger, Proxy: d.options.Proxy, Log: d.options.Log, Now: d.clock.now,
		Steady: steady, TimeTold: d.clock.isTold, Inventory: d.survey, Complete: d.listen,
	})
	return err
}

// close closes what is open. Only what could lose something is an error.
func (d *daemon) close() (err error) {
	if d.hung {
		return nil // the process ends, and with it every file; to close one could hang as well
	}
	if d.talker != nil {
		d.talker.Close()
	}
	if d.vault != nil {
		err = errors.Join(err, d.vault.Close())
	}
	if d.ledger != nil {
		err = errors.Join(err, d.ledger.Close())
	}
	return err
}

// work resumes, then does what the plan says until the end.
func (d *daemon) work(ctx context.Context) error {
	d.remember()
	made, err := plan.New(d.self(ctx), d.memory.Conf, len(d.ledger.At(ledger.Ended)))
	if err != nil {
		return err
	}
	d.plan = made
	resumed, running, err := d.resume()
	if err != nil {
		return err
	}
	effects, cancel := context.WithCancel(ctx)
	defer d.publish() // how it stood at the end
	defer d.leave()
	defer cancel()
	d.effects.Go(func() { d.swarm.member.Run(effects) })
	d.step(effects, resumed)
	for _, one := range running {
		d.spawn(effects, func(ctx context.Context) answer { return d.watch(ctx, one) })
	}
	return d.loop(effects)
}

// loop waits for answers and for what comes due.
func (d *daemon) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	d.slept = d.clock.slept()
	var end <-chan time.Time
	if d.options.Once && d.options.MaxTime > 0 {
		end = time.After(d.options.MaxTime)
	}
	for {
		if d.broken != nil {
			return d.broken
		}
		undeliverable := d.refusals >= onceRefusals && len(d.plan.Tasks()) == 0
		if d.options.Once && (d.plan.Idle() || d.plan.Stuck() || d.contacted != nil || undeliverable) {
			return d.unfinished()
		}
		timer.Reset(d.pause())
		select {
		case <-ctx.Done():
			d.save()
			return nil
		case <-end:
			return errors.Join(d.overdue(), d.unfinished())
		case answer := <-d.answers:
			if event := answer(); event != nil {
				d.queue = append(d.queue, event)
			}
			d.stepQueue(ctx)
		case report := <-d.reports():
			if event := d.reported(report); event != nil {
				d.step(ctx, event)
			}
		case <-d.changed():
			d.lookAtSite(ctx)
			d.stepQueue(ctx)
		case said := <-d.said():
			d.collect(ctx, said)
		case <-timer.C:
			d.step(ctx, plan.WakeDue{})
		}
		d.lookAround(ctx)
	}
}

// onceRefusals is how often in a row Once offers results that the server refuses, before it leaves them to the next
// run.
const onceRefusals = 3

// maxPause bounds a wait, so that a computer's sleep, which timers may not count, does not hold things up long.
const maxPause = time.Minute

// pause returns how long nothing comes due.
func (d *daemon) pause() time.Duration {
	now := d.clock.now()
	pause := maxPause
	if !d.clock.isTold() {
		pause = lookAtClock
	}
	consider := func(at time.Time) { pause = min(pause, max(at.Sub(now), 0)) }
	if wake, wanted := d.plan.NextWake(); wanted {
		consider(wake)
	}
	if len(d.unflushed) > 0 {
		consider(d.flushAt)
	}
	if at, wanted := d.shown.due(); wanted {
		consider(at)
	}
	if at, wanted := d.pulseDue(); wanted {
		consider(at)
	}
	if at, wanted := d.locateDue(); wanted {
		consider(at)
	}
	return pause
}

// step tells the plan one event, remembers what it decides, and sets about it.
func (d *daemon) step(ctx context.Context, event plan.Event) {
	d.queue = append(d.queue, event)
	d.stepQueue(ctx)
}

// stepQueue tells the plan all events that wait, also those that come of it.
func (d *daemon) stepQueue(ctx context.Context) {
	d.feel()
	for d.more(ctx) {
		event := d.queue[0]
		d.queue = d.queue[1:]
		actions := d.plan.Step(d.clock.now(), event)
		d.save()
		for _, action := range actions {
			if d.options.Log.Enabled(ctx, slog.LevelDebug) { // the words cost more than the decision
				d.options.Log.Debug("decided", "event", fmt.Sprintf("%T", event), "action", fmt.Sprintf("%T%+v", action, action))
			}
			d.do(ctx, action)
		}
		d.follow(ctx, event)
	}
	d.flush()
	d.tidy()
	d.show()
}

// do sets about one action.
func (d *daemon) do(ctx context.Context, action plan.Action) {
	switch action := action.(type) {
	case plan.Contact:
		progress := d.toldProgress()
		d.spawn(ctx, func(ctx context.Context) answer { return d.contact(ctx, progress) })
	case plan.Report:
		progress := d.toldProgress()
		d.spawn(ctx, func(ctx context.Context) answer { return d.report(ctx, progress) })
	case plan.FetchInfo:
		d.spawn(ctx, func(ctx context.Context) answer { return d.fetchInfo(ctx, action.Assignment) })
	case plan.FetchFragment:
		assignment, _ := d.plan.Assignment(action.Package)
		d.spawn(ctx, func(ctx context.Context) answer { return d.fetchFragment(ctx, assignment, action.Index) })
	case plan.AskNext, plan.Acknowledge:
		d.lend(ctx, action)
	case plan.Run:
		assignment, _ := d.plan.Assignment(action.Package)
		execTime := d.memory.ExecTime
		before, cancel := context.WithCancel(ctx)
		d.cancels[action.Package] = cancel
		d.spawn(ctx, func(ctx context.Context) answer {
			defer cancel()
			return d.run(ctx, before, assignment, execTime)
		})
	case plan.CancelRun:
		if cancel := d.cancels[action.Package]; cancel != nil {
			cancel()
		}
	case plan.Conclude:
		d.conclude(action)
	case plan.Drop:
		d.options.Log.Info("package dropped: it is not assigned any more", "package", action.Package)
		d.forget(action.Package)
	case plan.FetchFromMember, plan.CancelFetch, plan.Announce, plan.Misbehaved, plan.Meet:
		d.doSwarm(ctx, action)
	}
}

// spawn lets an effect work in a goroutine of its own.
func (d *daemon) spawn(ctx context.Context, effect func(context.Context) answer) {
	d.effects.Go(func() {
		answer := effect(ctx)
		select {
		case d.answers <- answer:
		case <-ctx.Done():
		}
	})
}

// save remembers what the plan has decided, if it differs from what is remembered.
func (d *daemon) save() {
	d.memory.Assignments, d.memory.Conf = d.plan.Assignments(), d.plan.Conf()
	d.memory.Answered, d.memory.Origin = d.plan.Answered(), d.plan.Origin()
	if d.saved != nil && reflect.DeepEqual(*d.saved, d.memory) { // as nearly always: this is asked for each fragment
		return
	}
	if err := d.options.State.Save(workName, d.memory); err != nil {
		d.options.Log.Error("what is assigned cannot be remembered", "reason", err)
		return
	}
	saved := d.memory
	d.saved = &saved
}
