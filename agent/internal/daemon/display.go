package daemon

import (
	"os"
	"reflect"
	"time"

	"enjambre/agent/internal/member"
	"enjambre/agent/internal/plan"
	"enjambre/core"
)

// StatusName is the file, status.json, in which a running agent shows where it stands.
const StatusName = "status"

// displayEvery is how often at most the status is written.
const displayEvery = time.Second

// A Status is where a running agent stands, for the commands that show it.
type Status struct {
	Process     int           `json:"process"`
	Deployment  string        `json:"deployment"`
	Computer    core.DeviceID `json:"computer"`
	Site        core.SiteName `json:"site"`
	Server      string        `json:"server"`
	Started     time.Time     `json:"started"`
	LastContact time.Time     `json:"lastContact,omitzero"` // that was answered
	LastProblem string        `json:"lastProblem,omitempty"`
	NextContact time.Time     `json:"nextContact,omitzero"`
	Cycle       int           `json:"cycle"` // 0: nothing to do, or switched off
	SwitchedOff bool          `json:"switchedOff,omitempty"`
	Unreported  int           `json:"unreported"` // results that the server has not acknowledged
	Packages    []plan.Task   `json:"packages"`
	Sources     []Source      `json:"sources,omitempty"` // where bytes came from, of packages in the order of their first
	Swarm       member.Status `json:"swarm"`

	// Holders says how many neighbours share a package that is here, as of the last time that the status was shown.
	Holders map[core.PackageID]int `json:"holders,omitempty"`
}

// A display is what of the status the daemon keeps, and when it was shown.
type display struct {
	status  Status
	written Status
	at      time.Time
	pending bool
}

// contact notes how a contact went.
func (s *display) contact(now time.Time, err error) {
	if err != nil {
		s.status.LastProblem = err.Error()
		return
	}
	s.status.LastContact, s.status.LastProblem = now, ""
}

// due returns when a status waits to be written.
func (s *display) due() (time.Time, bool) { return s.at.Add(displayEvery), s.pending }

// show writes the status if it has changed, at most once in a while.
func (d *daemon) show() {
	now, s := d.clock.now(), &d.shown
	if s.status.Process == 0 {
		s.status = Status{
			Process: os.Getpid(), Deployment: d.known.Deployment, Computer: d.known.Device, Site: d.known.Site,
			Server: d.known.Server, Started: now, LastContact: d.lastContact(),
		}
	}
	s.status.Cycle, s.status.Packages = d.plan.Cycle(), d.plan.Tasks()
	s.status.NextContact, _ = d.plan.NextContact()
	s.status.SwitchedOff = d.plan.Conf().Paused
	s.status.Unreported = d.plan.Unreported()
	s.status.Sources = d.swarm.sources.all()
	if d.swarm.member != nil {
		s.status.Swarm = d.swarm.member.Status()
	}
	s.pending = !reflect.DeepEqual(s.status, s.written)
	if s.pending && (now.Before(s.at) || !now.Before(s.at.Add(displayEvery))) {
		d.publish()
	}
}

// lastContact returns when the agent was answered last before it was started; the zero time if it never was, or as another
// computer, or if that is not known any more.
func (d *daemon) lastContact() time.Time {
	var former Status
	err := d.options.State.Load(StatusName, &former)
	if err != nil || former.Computer != d.known.Device || former.Deployment != d.known.Deployment {
		return time.Time{}
	}
	return former.LastContact
}

// publish writes the status.
func (d *daemon) publish() {
	s := &d.shown
	s.status.Holders = d.holders()
	if err := d.options.State.Publish(StatusName, s.status); err != nil {
		d.options.Log.Warn("the status cannot be shown", "reason", err)
	}
	s.written, s.at, s.pending = s.status, d.clock.now(), false
}
