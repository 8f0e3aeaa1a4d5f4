package ocsapi

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"enjambre/core"
	"enjambre/peer/pulse"
	"enjambre/server/internal/store"
)

// lookEvery is how often the server looks whether somebody has changed the database: an administrator's command is
// another process.
const lookEvery = 250 * time.Millisecond

// A newsroom hears of news at all sites, whoever makes them, and lets asks wait for them: peer/pulse decides which, and
// over how long members are to spread their calls. Safe for concurrent use.
type newsroom struct {
	store *store.Store
	log   *slog.Logger
	now   func() time.Time

	looking sync.Mutex // held while the numbers are read, so that older ones do not come after newer ones

	mu      sync.Mutex // guards the rest; not held while anything is read
	running bool       // somebody looks
	desk    *pulse.Desk
	crowd   pulse.Crowd
	spreads map[core.SiteName]time.Duration
	waiting map[uint64]chan struct{} // closed to answer an ask
	asks    uint64
}

func newNewsroom(options Options) *newsroom {
	return &newsroom{
		store: options.Store, log: options.Log, now: options.Now, desk: pulse.NewDesk(),
		spreads: map[core.SiteName]time.Duration{}, waiting: map[uint64]chan struct{}{},
	}
}

// run looks for news until ctx ends; then all asks are answered, and none waits any more.
func (n *newsroom) run(ctx context.Context) {
	n.mu.Lock()
	n.running = true
	n.mu.Unlock()
	defer n.step(pulse.Closing{})
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var watch *store.Watch
	defer func() {
		if watch != nil {
			_ = watch.Close() // a connection of a pool that is closed in its turn
		}
	}()
	troubled := false
	for {
		var err error
		if watch == nil {
			watch, err = n.store.Watch(ctx)
		}
		changed := false
		if err == nil {
			changed, err = watch.Changed(ctx)
		}
		if err == nil && changed {
			err = n.look(ctx)
		}
		if err != nil && ctx.Err() == nil && !troubled {
			n.log.Error("agents hear of news later", "reason", err)
		}
		if troubled = err != nil; troubled && watch != nil {
			_ = watch.Close() // it has missed something: another one begins with a look
			watch = nil
		}
		n.step(pulse.TimePassed{})
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// look reads the numbers of all sites' news and takes in which have risen.
func (n *newsroom) look(ctx context.Context) error {
	n.looking.Lock()
	defer n.looking.Unlock()
	numbers, err := n.store.Epochs(ctx)
	if err != nil {
		return err
	}
	n.mu.Lock()
	var raised []core.SiteName
	for _, site := range slices.Sorted(maps.Keys(numbers)) {
		if numbers[site] != n.desk.Number(site) {
			raised = append(raised, site)
		}
	}
	n.mu.Unlock()
	if len(raised) == 0 {
		return nil
	}
	counts, all, err := n.store.CountAgents(ctx, raised)
	if err != nil {
		return err
	}
	computers := 0
	for _, count := range counts {
		computers += count
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	spread := n.crowd.Join(n.now(), computers, all)
	for _, site := range raised { // first all spreads: an answer tells them
		n.spreads[site] = spread
	}
	for _, site := range raised {
		n.take(pulse.Raised{Site: site, Number: numbers[site]})
	}
	return nil
}

// spread returns over how long a site's members are to call because of the news of a number.
func (n *newsroom) spread(ctx context.Context, site core.SiteName, number uint64) (time.Duration, error) {
	known := func() (time.Duration, bool) {
		n.mu.Lock()
		defer n.mu.Unlock()
		spread, is := n.spreads[site]
		return spread, is && n.desk.Number(site) >= number
	}
	if spread, is := known(); is {
		return spread, nil
	}
	if err := n.look(ctx); err != nil { // the number is newer than the last look
		return 0, err
	}
	spread, _ := known()
	return max(spread, time.Second), nil
}

// wait waits until an ask is to be answered, or ctx ends. It reports whether the ask was kept open at all.
func (n *newsroom) wait(ctx context.Context, ask pulse.Asked) (waited bool) {
	n.mu.Lock()
	if !n.running {
		n.mu.Unlock()
		return false
	}
	n.asks++
	ask.ID = n.asks
	answer := make(chan struct{})
	n.waiting[ask.ID] = answer
	n.take(ask)
	_, waited = n.waiting[ask.ID]
	n.mu.Unlock()
	select {
	case <-answer:
	case <-ctx.Done():
		n.mu.Lock()
		defer n.mu.Unlock()
		n.take(pulse.HungUp{ID: ask.ID})
		delete(n.waiting, ask.ID)
	}
	return waited
}

func (n *newsroom) step(event pulse.DeskEvent) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.take(event)
}

// take tells the desk an event and answers whom it names; the mutex is held.
func (n *newsroom) take(event pulse.DeskEvent) {
	for _, id := range n.desk.Step(n.now(), event) {
		if answer := n.waiting[id]; answer != nil {
			delete(n.waiting, id)
			close(answer)
		}
	}
}
