package plan

import (
	"time"

	"enjambre/core/contact"
)

// told notes that the server knows all but the results that are left.
func (p *Plan) told(now time.Time, left int) {
	p.unreported, p.news = left, false
	p.newsAfter = now.Add(ProgressPause)
	p.reports = contact.Pace{}
}

// talk orders the contact or the report that is due. They never overlap, so that what a contact's answer offers
// is never older than what the server has acknowledged.
func (p *Plan) talk(now time.Time) Action {
	at, isContact, wanted := p.nextTalk()
	if !wanted || now.Before(at) {
		return nil
	}
	p.talking = true
	if isContact {
		return Contact{}
	}
	return Report{}
}

// nextTalk returns when the next exchange is due, and which.
func (p *Plan) nextTalk() (at time.Time, isContact, wanted bool) {
	if p.talking {
		return time.Time{}, false, false
	}
	if !p.options.Once || !p.heard {
		at, isContact, wanted = p.calls.Next(), true, true
	}
	var report time.Time
	switch {
	case p.silent:
		return at, isContact, wanted
	case p.unreported > 0:
		report = p.reports.Next()
	case p.news:
		report = later(p.newsAfter, p.reports.Next())
	default:
		return at, isContact, wanted
	}
	if !wanted || report.Before(at) {
		return report, false, true
	}
	return at, isContact, wanted
}
