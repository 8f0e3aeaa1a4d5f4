package daemon

import (
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
}

// sources counts where the bytes of packages came from. Safe for concurrent use; the zero sources are ready.
type sources struct {
	mu   sync.Mutex
	list []Source // the newest last, at most maxSources
}

// add counts bytes of a package.
func (s *sources) add(id core.PackageID, origin, members int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.list {
		if one := &s.list[i]; one.Package == id {
			one.Origin += origin
			one.Members += members
			return
		}
	}
	if len(s.list) == maxSources {
		s.list = s.list[1:]
	}
	s.list = append(s.list, Source{id, origin, members})
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
		d.swarm.sources.add(one.Package, max(one.Origin, 0), max(one.Members, 0))
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
