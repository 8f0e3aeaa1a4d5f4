package daemon

import (
	"math"
	"slices"
	"sync"

	"enjambre/agent/internal/ledger"
	"enjambre/core"
	"enjambre/core/ocs"
)

// maxSources is of how many packages is counted where their bytes came from; the oldest go.
const maxSources = 256

// A Source says where a package's bytes came from, since the agent first had any of them. What came within the second
// before the agent was killed may be missing.
type Source struct {
	Package core.PackageID `json:"package"`
	Origin  int64          `json:"origin"`  // bytes
	Members int64          `json:"members"` // bytes

	// Copies is R so far, the copies of the package that the origin has sent into the site of this computer, as it said
	// last; to 3 decimals, 0 before it said so.
	Copies float64 `json:"copies,omitempty"`
}

// sources counts where the bytes of packages came from. Safe for concurrent use; the zero sources are ready.
type sources struct {
	mu   sync.Mutex
	list []Source // the newest last, at most maxSources
}

// add counts bytes of a package.
func (s *sources) add(id core.PackageID, origin, members int64) {
	s.change(id, func(one *Source) {
		one.Origin += origin
		one.Members += members
	})
}

// site notes how many bytes of a package of whole bytes the origin says to have sent into the site; 0: it does not say.
func (s *sources) site(id core.PackageID, sent, whole int64) {
	if sent <= 0 || whole <= 0 {
		return
	}
	copies := math.Round(float64(sent)/float64(whole)*1000) / 1000
	s.change(id, func(one *Source) { one.Copies = copies })
}

// change changes what is counted of a package.
func (s *sources) change(id core.PackageID, by func(*Source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(s.list, func(one Source) bool { return one.Package == id })
	if at < 0 {
		if len(s.list) == maxSources {
			s.list = s.list[1:]
		}
		s.list = append(s.list, Source{Package: id})
		at = len(s.list) - 1
	}
	by(&s.list[at])
}

// members returns how many bytes of a package members sent.
func (s *sources) members(id core.PackageID) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.list {
		if one.Package == id {
			return one.Members
		}
	}
	return 0
}

// all returns all that is counted, in the order of the packages' first bytes.
func (s *sources) all() []Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// resumeSources goes on counting where the status that was shown last left off, if it was this computer's.
func (d *daemon) resumeSources() {
	var last Status
	if err := d.options.State.Load(StatusName, &last); err != nil {
		d.options.Log.Info("where bytes came from is counted anew", "reason", err)
		return
	}
	if last.Computer != d.known.Device {
		return
	}
	for _, one := range last.Sources {
		d.swarm.sources.change(one.Package, func(now *Source) {
			*now = Source{one.Package, max(one.Origin, 0), max(one.Members, 0), max(one.Copies, 0)}
		})
	}
}

// toldProgress returns what the server is told of the packages that have not ended.
func (d *daemon) toldProgress() ocs.Progress {
	progress := d.plan.Progress()
	for i := range progress.Packages {
		one := &progress.Packages[i]
		one.Shared = d.swarm.sources.members(one.Package)
	}
	return progress
}

// note notes a package's result, and with it for the server how much of the package came from members.
func (d *daemon) note(id core.PackageID, result ledger.Result) error {
	result.Shared = d.swarm.sources.members(id)
	_, err := d.ledger.End(id, result)
	return err
}
