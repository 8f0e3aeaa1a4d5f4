package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"enjambre/core"
	"enjambre/core/wanrate"
)

// A view is what is on the stage at one moment.
type view struct {
	sites    []siteView
	packages []packageView
}

// hasResults reports whether there are all results.
func (v view) hasResults() bool {
	for _, p := range v.packages {
		if p.computers == 0 || p.waiting+p.notified > 0 {
			return false
		}
	}
	return true
}

// isSettled reports whether agents need not be looked at any more: something failed, or they show that they have all.
func (v view) isSettled() bool {
	isSpread := true
	for _, s := range v.sites {
		isSpread = isSpread && s.spread() == 1
	}
	for _, p := range v.packages {
		if p.succeeded != p.computers {
			return true
		}
	}
	return isSpread
}

// A siteView is how a site stands. Bytes are those of the packages that have an archive, all together.
type siteView struct {
	name       core.SiteName
	rate       wanrate.Rate
	agents     int              // of ours, that were started there
	members    int              // of them, that are in the site's swarm
	neighbours int              // that they have, added up: of two neighbours each counts the other
	trouble    string           // what one of them says of why it is in no swarm
	whole      int64            // bytes of the packages
	origin     int64            // bytes that the server sent into the site, as its ledger has it
	held       int64            // bytes that agents have fetched, added up: whole x agents when all have everything
	extra      map[string]int64 // of origin, what went twice, by cause
}

// pairs returns how many pairs of agents there are.
func (s siteView) pairs() int { return s.agents * (s.agents - 1) / 2 }

// isFormed reports whether every agent is in the swarm and has all others as neighbours.
func (s siteView) isFormed() bool { return s.members == s.agents && s.neighbours == 2*s.pairs() }

// copies returns R, the copies of the packages that went into the site so far; 0 without packages.
func (s siteView) copies() float64 {
	if s.whole == 0 {
		return 0
	}
	return float64(s.origin) / float64(s.whole)
}

// spread returns which part of what all agents of the site are to have they have, 0 to 1.
func (s siteView) spread() float64 {
	if s.whole == 0 || s.agents == 0 {
		return 0
	}
	return min(float64(s.held)/float64(s.whole*int64(s.agents)), 1)
}

// causes says what went twice, and why.
func (s siteView) causes() string {
	var parts []string
	for _, cause := range slices.Sorted(maps.Keys(s.extra)) {
		parts = append(parts, fmt.Sprintf("%s %d bytes", cause, s.extra[cause]))
	}
	if len(parts) == 0 {
		return "no byte went twice"
	}
	return "twice went: " + strings.Join(parts, ", ")
}

// A packageView is how a package stands, as the server says.
type packageView struct {
	name        string
	id          core.PackageID
	computers   int
	waiting     int // not told yet
	notified    int // told, without a result
	downloading int // of notified
	installing  int // of notified
	succeeded   int
	results     map[string]int
}

// states says where the computers stand.
func (p packageView) states() string {
	var parts []string
	add := func(count int, what string) {
		if count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count, what))
		}
	}
	add(p.waiting, "waiting")
	add(p.notified-p.downloading-p.installing, "notified")
	add(p.downloading, "downloading")
	add(p.installing, "installing")
	add(p.succeeded, "succeeded")
	add(p.computers-p.waiting-p.notified-p.succeeded, "failed")
	return fmt.Sprintf("of %d: %s", p.computers, strings.Join(parts, ", "))
}

// maxCopies is how many copies of the packages a site may have been sent.
const maxCopies = 1.05

// A verdict is what came out, as --json prints it.
type verdict struct {
	Sites []siteVerdict `json:"sites"`
	OK    bool          `json:"ok"`
}

// line returns it as one line of JSON.
func (v verdict) line() (string, error) {
	if v.Sites == nil {
		v.Sites = []siteVerdict{}
	}
	data, err := json.Marshal(v)
	return string(data), err
}

// A siteVerdict is what came out of a site.
type siteVerdict struct {
	Name    core.SiteName `json:"name"`
	Members int           `json:"members"` // agents in its swarm
	Copies  float64       `json:"copies"`  // R of all packages together, to 3 decimals
}

// judge returns what came out, and what is wrong with it: nothing if every package succeeded on that many computers and
// went into each site once.
func judge(v view, computers int) (verdict, []string) {
	var result verdict
	var wrong []string
	for _, p := range v.packages {
		if p.computers != computers || p.succeeded != computers {
			wrong = append(wrong, fmt.Sprintf("package %s (%s) succeeded on %d of %d computers: %v",
				p.id, p.name, p.succeeded, computers, p.results))
		}
	}
	if len(v.packages) == 0 {
		wrong = append(wrong, "no package was deployed")
	}
	for _, s := range v.sites {
		result.Sites = append(result.Sites, siteVerdict{s.name, s.members, math.Round(s.copies()*1000) / 1000})
		if s.members != s.agents {
			wrong = append(wrong, fmt.Sprintf("site %s: %d of %d agents are in its swarm", s.name, s.members, s.agents))
		}
		if s.origin < s.whole || s.copies() > maxCopies || s.whole == 0 {
			wrong = append(wrong,
				fmt.Sprintf("site %s: R is %.3f, not 1 to %.2f; %s", s.name, s.copies(), maxCopies, s.causes()))
		}
	}
	result.OK = len(wrong) == 0
	return result, wrong
}
