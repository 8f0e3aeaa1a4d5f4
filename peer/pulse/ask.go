package pulse

import (
	"time"

	"enjambre/peer/owner"
	"enjambre/peer/ticket"
)

// Ask orders to tell the server how far the packages are, and to ask it for its word: above the number Known at once,
// else when Wait has passed. It is answered by Answered or AskFailed. When another ask is open, it is given up for this
// one, and nothing is reported of it.
type Ask struct {
	Known uint64
	Wait  time.Duration // in whole seconds, at most HoldFor; 0: the answer is to come at once
}

// Answered reports what an Ask brought.
type Answered struct {
	Epoch  ticket.Epoch
	Spread time.Duration // as in Heard
}

// AskFailed reports that an Ask brought no epoch.
type AskFailed struct{}

// asking is what a member knows of its asks.
type asking struct {
	Ask            // the last one
	open bool      // it is not answered
	at   time.Time // when it went out; zero: never

	hold     time.Duration // that asks can stay open, as far as known
	failures int           // in a row
	firstAt  time.Time     // since when we are the first reporter, if we are
	againAt  time.Time     // when we ask again as that; zero: when the server's word is old enough
	staleAt  time.Time     // when we ask for ourselves
}

// askNow orders an ask. That of the first reporter stays open, but no longer than until there is to be a report.
func (p *Pulse) askNow(now time.Time) Ask {
	p.ask.Ask = Ask{Known: p.newest.Number}
	if p.turn == 0 {
		p.ask.Wait = p.ask.hold.Truncate(time.Second)
		if p.busy {
			p.ask.Wait = min(p.ask.Wait, BusyEvery)
		}
	}
	p.ask.open, p.ask.at, p.ask.againAt = true, now, time.Time{}
	if !now.Before(p.ask.staleAt) {
		p.ask.staleAt = p.stale(now)
	}
	return p.ask.Ask
}

// answered takes the answer to our ask in. One that the server has kept open is followed by the next.
func (p *Pulse) answered(now time.Time, event Answered) []Action {
	ask := &p.ask
	ask.open, ask.failures = false, 0
	switch {
	case ask.Wait == 0:
	case event.Epoch.Number > ask.Known:
		ask.againAt = ask.at.Add(AskPause)
	case now.Sub(ask.at) >= ask.Wait/2:
		ask.againAt = ask.at.Add(AskPause)
		ask.hold = min(ask.hold+time.Second, HoldFor)
	}
	return p.heard(now, Heard{Epoch: event.Epoch, Spread: event.Spread})
}

// askFailed takes in that our ask was not answered.
func (p *Pulse) askFailed(now time.Time) {
	ask := &p.ask
	ask.open = false
	if took := now.Sub(ask.at); ask.Wait > 0 && took >= BusyEvery { // or it did not get there at all
		ask.hold = min(max(took/2, BusyEvery), ask.hold)
	}
	pause := min(RetryAfter<<min(ask.failures, 8), RetryMost)
	ask.failures++
	ask.againAt = now.Add(pause/2 + p.spread(pause/2))
}

// nextAsk returns when we ask the server next.
func (p *Pulse) nextAsk() (time.Time, bool) {
	if p.ask.open {
		// What there is to report meanwhile does not wait for an answer that may be long in coming.
		return p.ask.at.Add(BusyEvery), p.busy && p.ask.Wait > BusyEvery
	}
	at := p.ask.staleAt
	if mine, has := p.myTurn(); has && mine.Before(at) {
		at = mine
	}
	return at, true
}

// myTurn returns when it is our turn to ask for the site; but for the first reporter once for each word of the server.
func (p *Pulse) myTurn() (time.Time, bool) {
	if p.turn < 0 {
		return time.Time{}, false
	}
	if p.turn == 0 && !p.ask.againAt.IsZero() {
		return p.ask.againAt, true
	}
	every := ReportEvery
	if p.busy {
		every = BusyEvery
	}
	at := p.newest.Issued.Add(every + time.Duration(p.turn)*owner.ReporterSilence)
	if settled := p.ask.firstAt.Add(SettleFor); p.turn == 0 && p.ask.at.Before(p.ask.firstAt) && settled.Before(at) {
		at = settled
	}
	return at, p.ask.at.Before(at)
}
