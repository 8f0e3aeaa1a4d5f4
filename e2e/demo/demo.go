package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"enjambre/core"
	"enjambre/core/wanrate"
	"enjambre/e2e/stage"
)

// Times.
const (
	patience  = 90 * time.Second       // that forming the swarms, or the deployment, may take
	settling  = 5 * time.Second        // that ledgers, and what agents show, may be behind; they are written each second
	lookEvery = 300 * time.Millisecond // at the stage
)

// A place is a site of the demo.
type place struct {
	name    core.SiteName
	rate    wanrate.Rate
	agents  int
	members []*stage.Member
}

// A demo is what is on the stage.
type demo struct {
	screen  *screen
	folder  string
	agent   string // the program
	server  *stage.Server
	places  []*place
	stock   *stage.Agent // nil where it is not installed
	parcels []*parcel
	last    view // as it was seen last
}

// open builds the programs, starts the server and the agents, and waits until the sites' swarms are formed. If it
// fails, it leaves nothing behind.
func open(ctx context.Context, shown *screen) (_ *demo, err error) {
	d := &demo{screen: shown, places: []*place{
		{name: "lyon", rate: 6_000_000, agents: 4},
		{name: "oslo", rate: 4_000_000, agents: 3},
		{name: "bern", rate: 3_000_000, agents: 3},
	}}
	if d.folder, err = os.MkdirTemp("", "enjambre-demo-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	d.screen.say("building the programs ...")
	binary, err := stage.Build(ctx, d.folder)
	if err != nil {
		return nil, err
	}
	if d.agent, err = stage.BuildAgent(ctx, d.folder); err != nil {
		return nil, err
	}
	if err := d.serve(ctx, binary); err != nil {
		return nil, err
	}
	for _, p := range d.places {
		if err := d.settle(ctx, p); err != nil {
			return nil, err
		}
	}
	if err := d.callStock(ctx); err != nil {
		return nil, err
	}
	return d, d.form(ctx)
}

// serve starts the server.
func (d *demo) serve(ctx context.Context, binary string) (err error) {
	if d.server, err = stage.NewServer(ctx, binary, d.folder); err != nil {
		return err
	}
	for _, setting := range []string{
		"DOWNLOAD_CYCLE_LATENCY 1", "DOWNLOAD_FRAG_LATENCY 0", "DOWNLOAD_PERIOD_LATENCY 0", "CONTACT_SECONDS 5",
	} {
		if _, err := d.server.Run(ctx, append([]string{"config", "set"}, strings.Fields(setting)...)...); err != nil {
			return err
		}
	}
	if err := d.server.Start(ctx); err != nil {
		return err
	}
	d.screen.say("server  %s and %s", d.server.Address, d.server.HTTP)
	d.screen.say("        waits are next to nothing here; usual are minutes a cycle and hours a contact")
	return nil
}

// settle makes a site and starts its agents as services.
func (d *demo) settle(ctx context.Context, p *place) error {
	if _, err := d.server.Run(ctx, "site", "set", string(p.name), "--wan-rate", p.rate.String()); err != nil {
		return err
	}
	token, err := d.server.Run(ctx, "enroll", "token", "--new-site", "--site", string(p.name), "--uses", fmt.Sprint(p.agents))
	if err != nil {
		return err
	}
	var processes []string
	for n := range p.agents {
		member := &stage.Member{
			Binary: d.agent, State: filepath.Join(d.folder, fmt.Sprintf("%s-%d", p.name, n+1)),
			Listen: "0", // the usual port is one agent's
		}
		if err := member.Enrol(ctx, d.server, token); err != nil {
			return err
		}
		if err := member.Start(); err != nil {
			return err
		}
		p.members = append(p.members, member)
		processes = append(processes, fmt.Sprint(member.PID()))
	}
	d.screen.say("%-7s %d agents, processes %s", p.name, p.agents, strings.Join(processes, " "))
	return nil
}

// callStock lets the stock agent call for the first time, where there is one.
func (d *demo) callStock(ctx context.Context) error {
	if err := stage.HaveAgent(); err != nil {
		d.screen.say("stock   left out: %v", err)
		return nil
	}
	d.stock = &stage.Agent{
		Server: d.server.Address + "/ocsinventory", CA: filepath.Join(d.server.Data, "cacert.pem"),
		Folder: filepath.Join(d.folder, "stock"), Tag: "DEMO",
	}
	d.screen.say("stock   an OCS agent calls; it is at no site and fetches for itself ...")
	if err := d.stock.Run(ctx); err != nil {
		return err
	}
	device, err := d.stock.Device()
	if err != nil {
		return err
	}
	_, err = d.server.Run(ctx, "config", "set", "DOWNLOAD_CYCLE_LATENCY", "0", "--computer", device) // of a fragment each
	return err
}

// computers returns how many computers there are.
func (d *demo) computers() (count int) {
	for _, p := range d.places {
		count += p.agents
	}
	if d.stock != nil {
		count++
	}
	return count
}

// form waits until the server knows every computer, since who has not sent an inventory cannot be affected, and until
// the agents of each site have found each other.
func (d *demo) form(ctx context.Context) error {
	return d.wait(ctx, "the first contacts and the sites' swarms", patience, func() (bool, error) {
		var found struct{ Computers []struct{ Name string } }
		if err := d.server.JSON(ctx, &found, "computer", "search", "os = linux"); err != nil {
			return false, err
		}
		if err := d.look(ctx); err != nil {
			return false, err
		}
		for _, s := range d.last.sites {
			if !s.isFormed() {
				return false, nil
			}
		}
		return len(found.Computers) == d.computers(), nil
	})
}

// wait waits until something is done.
func (d *demo) wait(ctx context.Context, what string, most time.Duration, done func() (bool, error)) error {
	deadline := time.After(most)
	for {
		is, err := done()
		if ctx.Err() != nil { // a command that was cancelled has failed, which is no reason
			return ctx.Err()
		}
		if is || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return fmt.Errorf("%s: not within %v\n%s", what, most, d.trouble())
		case <-time.After(lookEvery):
		}
	}
}

// trouble returns what may say why something does not go on.
func (d *demo) trouble() string {
	var text strings.Builder
	for _, one := range board(d.last, 0) {
		text.WriteString(one.text + "\n")
	}
	for _, s := range d.last.sites {
		if s.trouble != "" {
			fmt.Fprintf(&text, "site %s: %s\n", s.name, s.trouble)
		}
	}
	return text.String() + d.server.Log("error.log")
}
