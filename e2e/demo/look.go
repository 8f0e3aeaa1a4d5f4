package main

import (
	"context"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
	"enjambre/e2e/stage"
)

// look sees how all stands, from what the programs' commands say, and shows it.
func (d *demo) look(ctx context.Context) error {
	d.last.sites = nil
	for _, p := range d.places {
		s := siteView{name: p.name, rate: p.rate, agents: p.agents}
		for _, member := range p.members {
			if err := s.add(ctx, member); err != nil {
				return err
			}
		}
		d.last.sites = append(d.last.sites, s)
	}
	if err := d.lookAtServer(ctx); err != nil {
		return err
	}
	d.screen.draw(d.last)
	return nil
}

// add adds what an agent says of itself.
func (s *siteView) add(ctx context.Context, member *stage.Member) error {
	var status struct {
		Swarm struct {
			Site       core.SiteName
			Problem    string
			Neighbours int
		}
		Sources []struct{ Origin, Members int64 }
	}
	if err := member.JSON(ctx, &status, "status"); err != nil {
		return err
	}
	if status.Swarm.Site == s.name {
		s.members++
		s.neighbours += status.Swarm.Neighbours
	}
	if status.Swarm.Problem != "" {
		s.trouble = status.Swarm.Problem
	}
	for _, one := range status.Sources {
		s.held += one.Origin + one.Members
	}
	return nil
}

// lookAtServer sees what the server says: the sites' ledgers and the packages' states. It may be stopped.
func (d *demo) lookAtServer(ctx context.Context) error {
	var shown struct {
		Traffic []struct {
			Site        core.SiteName
			Package     core.PackageID
			OriginBytes int64
			Extra       map[string]int64
		}
	}
	if err := d.server.JSON(ctx, &shown, "site", "traffic"); err != nil {
		return err
	}
	for i := range d.last.sites {
		s := &d.last.sites[i]
		s.whole, s.origin, s.extra = 0, 0, map[string]int64{}
		for _, p := range d.parcels {
			s.whole += p.bytes
		}
		for _, one := range shown.Traffic {
			if one.Site != s.name {
				continue
			}
			s.origin += one.OriginBytes
			for cause, bytes := range one.Extra {
				s.extra[cause] += bytes
			}
		}
	}
	d.last.packages = nil
	for _, p := range d.parcels {
		one, err := d.rollout(ctx, p)
		if err != nil {
			return err
		}
		d.last.packages = append(d.last.packages, one)
	}
	return nil
}

// rollout returns how a package stands.
func (d *demo) rollout(ctx context.Context, p *parcel) (packageView, error) {
	var r struct {
		Computers int
		States    map[outcome.State]int
		Progress  map[ocs.Phase]int
		Results   map[string]int
	}
	if err := d.server.JSON(ctx, &r, "rollout", "status", "--package", p.id.String()); err != nil {
		return packageView{}, err
	}
	return packageView{
		name: p.name, id: p.id, computers: r.Computers, waiting: r.States[outcome.Waiting],
		notified: r.States[outcome.Notified], downloading: r.Progress[ocs.Downloading],
		installing: r.Progress[ocs.Installing], succeeded: r.States[outcome.Success], results: r.Results,
	}, nil
}
