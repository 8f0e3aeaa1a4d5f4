package lab

import (
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	good := Site{Name: "lyon", Hosts: 2, Down: 1_000_000, Up: 1_000_000}
	with := func(change func(*Site)) Topology {
		changed := good
		change(&changed)
		return Topology{Sites: []Site{changed}}
	}
	for name, one := range map[string]struct {
		topology Topology
		want     string // "" for none
	}{
		"good":       {with(func(*Site) {}), ""},
		"no sites":   {Topology{}, "0 sites"},
		"many sites": {Topology{Sites: make([]Site, MaxSites+1)}, "51 sites"},
		"twice":      {Topology{Sites: []Site{good, good}}, "there twice"},
		"name":       {with(func(s *Site) { s.Name = "no/name" }), "another name"},
		"server":     {with(func(s *Site) { s.Name = ServerHost }), "another name"},
		"no hosts":   {with(func(s *Site) { s.Hosts = 0 }), "0 hosts"},
		"many hosts": {with(func(s *Site) { s.Hosts = MaxHosts + 1 }), "61 hosts"},
		"no rate":    {with(func(s *Site) { s.Up = 0 }), "a rate of unlimited"},
		"far":        {with(func(s *Site) { s.RTT = 3 * time.Second }), "a round trip of 3s"},
		"queue":      {with(func(s *Site) { s.Queue = -1 }), "a queue of -1ns"},
	} {
		t.Run(name, func(t *testing.T) {
			err := one.topology.Validate()
			if one.want == "" && err != nil || one.want != "" && (err == nil || !strings.Contains(err.Error(), one.want)) {
				t.Errorf("got %v, want %q", err, one.want)
			}
		})
	}
}
