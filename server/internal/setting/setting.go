// Package setting defines the values by which an administrator tunes deployment: their names, bounds,
// defaults, and which of several levels wins.
//
// Values are whole numbers under the names that OCS administrators know. Each can be set for the whole
// deployment and, unless it says otherwise, for one computer; the computer's value wins, then the
// deployment's, then the default. 0 is a value like any other (a stock server takes a computer's 0
// for "not set").
package setting

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
)

// A Name is a setting's name, in upper case.
type Name string

// The settings. Seconds, minutes, hours and days are those of the protocol.
const (
	Download         Name = "DOWNLOAD"                   // 0: no computer is given packages
	Switch           Name = "DOWNLOAD_SWITCH"            // 0: this computer is given none
	PeriodLength     Name = "DOWNLOAD_PERIOD_LENGTH"     // cycles
	CycleLatency     Name = "DOWNLOAD_CYCLE_LATENCY"     // seconds
	FragLatency      Name = "DOWNLOAD_FRAG_LATENCY"      // seconds
	PeriodLatency    Name = "DOWNLOAD_PERIOD_LATENCY"    // seconds
	Timeout          Name = "DOWNLOAD_TIMEOUT"           // days
	ExecutionTimeout Name = "DOWNLOAD_EXECUTION_TIMEOUT" // minutes
	FragsPerTurn     Name = "DOWNLOAD_FRAGS_PER_TURN"    // fragments; 0 = all
	PrologFreq       Name = "PROLOG_FREQ"                // hours
	ContactSeconds   Name = "CONTACT_SECONDS"            // seconds
	Frequency        Name = "FREQUENCY"                  // days between inventories; 0 always, -1 never
	OnStartup        Name = "INVENTORY_ON_STARTUP"       // Windows service calls when it starts
	StockAgents      Name = "STOCK_AGENTS"               // 1: stock OCS agents are served
	ValidateAfter    Name = "VALIDATE_AFTER"             // days; 0 = never
)

// A Definition says what a setting is.
type Definition struct {
	Name           Name   `json:"name"`
	Default        int    `json:"default"`
	Min            int    `json:"min"`
	Max            int    `json:"max"`
	Unit           string `json:"unit"`
	Help           string `json:"help"`
	DeploymentOnly bool   `json:"deploymentOnly,omitempty"` // cannot be set for one computer
}

const year = 366 * 24 * 3600

var definitions = []Definition{
	{Name: Download, Default: 1, Max: 1, Help: "1: packages are given out; 0: deployment is off"},
	{
		Name:    Switch,
		Default: 1,
		Max:     1,
		Help:    "0: this computer is given no packages, a running download stops",
	},
	{Name: PeriodLength, Default: 10, Min: 1, Max: 1000, Unit: "cycles",
		Help: "cycles in a period; a package whose priority is higher is never downloaded"},
	{Name: CycleLatency, Default: 60, Max: 7 * 24 * 3600, Unit: "s",
		Help: "pause after each cycle, in which nothing is fetched; none with --pace rate"},
	{Name: FragLatency, Default: 10, Max: 7 * 24 * 3600, Unit: "s", Help: "pause after each fragment"},
	{Name: PeriodLatency, Default: 0, Max: 7 * 24 * 3600, Unit: "s", Help: "longer pause after the last cycle of a period"},
	{Name: Timeout, Default: 30, Min: 1, Max: 3650, Unit: "days",
		Help: "an agent gives a package up when it is not complete this long after its notification"},
	{Name: ExecutionTimeout, Default: 120, Min: 1, Max: 7 * 24 * 60, Unit: "min",
		Help: "longest run of a command; stock agents ignore it"},
	{Name: FragsPerTurn, Default: 0, Max: core.MaxFragments, Unit: "fragments",
		Help: "fragments of a package in one turn; 0: all, 1: the pace of stock agents"},
	{
		Name:    PrologFreq,
		Default: 24,
		Min:     1,
		Max:     year / 3600,
		Unit:    "h",
		Help:    "between the contacts of a stock agent",
	},
	{Name: ContactSeconds, Default: 3600, Min: 5, Max: 7 * 24 * 3600, Unit: "s",
		Help: "between the contacts of an enrolled agent"},
	{Name: Frequency, Default: 0, Min: -1, Max: 3650, Unit: "days",
		Help: "between inventories; 0: at each contact, -1: no inventory and no packages"},
	{Name: OnStartup, Default: 1, Max: 1, Help: "1: stock Windows agents call when their service starts"},
	{Name: StockAgents, Default: 0, Max: 1, DeploymentOnly: true,
		Help: "1: stock OCS agents, which cannot prove who they are, are served"},
	{Name: ValidateAfter, Default: 180, Max: 3650, Unit: "days", DeploymentOnly: true,
		Help: "a rollout whose last result is older is validated by itself; 0: never"},
}

// All returns every definition, in the order in which people are shown them.
func All() []Definition { return slices.Clone(definitions) }

// Lookup returns the definition of a name, in any case. An unknown one is refused with the names there
// are.
func Lookup(text string) (Definition, error) {
	for _, definition := range definitions {
		if strings.EqualFold(string(definition.Name), text) {
			return definition, nil
		}
	}
	var names []string
	for _, definition := range definitions {
		names = append(names, string(definition.Name))
	}
	return Definition{}, core.Refuse(core.ClassField, "unknown setting %.60q; there are %s", text,
		strings.Join(names, ", "))
}

// Parse reads a value within the definition's bounds.
func (d Definition) Parse(text string) (int, error) {
	value, err := strconv.Atoi(text)
	if err != nil || value < d.Min || value > d.Max {
		return 0, core.Refuse(core.ClassLimit, "%s: %.40q is not a whole number from %d to %d%s", d.Name, text,
			d.Min, d.Max, unit(d.Unit))
	}
	return value, nil
}

func unit(name string) string {
	if name == "" {
		return ""
	}
	return " (" + name + ")"
}

// Values are the settings that somebody set, by name. A nil map is none.
type Values map[Name]int

// An Effective answers what holds for one computer, or for the deployment when Computer is nil.
type Effective struct{ Computer, Deployment Values }

// Get returns the value that wins.
func (e Effective) Get(name Name) int {
	if value, set := e.Computer[name]; set {
		return value
	}
	if value, set := e.Deployment[name]; set {
		return value
	}
	for _, definition := range definitions {
		if definition.Name == name {
			return definition.Default
		}
	}
	panic(fmt.Sprintf("setting: %q is not defined", name))
}

// Conf returns the schedule that a PROLOG reply carries.
func (e Effective) Conf() ocs.Conf {
	seconds := func(name Name) time.Duration { return time.Duration(e.Get(name)) * time.Second }
	return ocs.Conf{
		On:               e.Get(Download) == 1 && e.Get(Switch) == 1,
		PeriodLength:     e.Get(PeriodLength),
		CycleLatency:     seconds(CycleLatency),
		FragLatency:      seconds(FragLatency),
		PeriodLatency:    seconds(PeriodLatency),
		TimeoutDays:      e.Get(Timeout),
		ExecutionTimeout: time.Duration(e.Get(ExecutionTimeout)) * time.Minute,
		FragsPerTurn:     e.Get(FragsPerTurn),
	}
}

// InventoryDue reports whether a computer that last sent an inventory at last should send one now. The
// zero time means never, and is always due unless inventories are off.
func (e Effective) InventoryDue(last, now time.Time) bool {
	switch days := e.Get(Frequency); days {
	case -1:
		return false
	case 0:
		return true
	default:
		return last.IsZero() || now.Sub(last) > time.Duration(days)*24*time.Hour
	}
}
