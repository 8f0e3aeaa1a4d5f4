package plan

import "time"

// movePause is until when asking the origin is put off, again and again, while the server has not said where the computer
// is: about as long as a contact takes.
const movePause = time.Second

// A move is the time from when the computer was carried, or slept, until the server has been asked where it is now. What
// an origin sends meanwhile it would book for the site where the computer was, and send into another.
type move struct {
	on    bool
	stale bool // an exchange is under way that began before; its end says nothing of where the computer is
}

// moved begins a move. The server is called at once.
func (p *Plan) moved(now time.Time) {
	p.move = move{on: true, stale: p.talking}
	p.calls.Hurry(now)
}

// settle ends the move after a contact, answered or not: without the server's word things go on as they were.
func (p *Plan) settle(now time.Time) {
	if p.move.stale {
		p.move.stale = false
		p.calls.Hurry(now)
		return
	}
	if !p.move.on {
		return
	}
	p.move.on = false
	for _, t := range p.tasks { // the origin does not know here what it knew there
		t.voice.whole, t.voice.verified = true, nil
	}
}
