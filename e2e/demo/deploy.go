package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"enjambre/core"
)

// The packages. The large one takes long enough at the slowest site to be watched.
const (
	largeBytes   = 5 << 20
	smallBytes   = 256 << 10
	fragmentSize = "64KiB"
)

// A parcel is one package of the demo.
type parcel struct {
	name    string
	args    []string
	archive string // empty: none
	bytes   int64  // of the archive
	id      core.PackageID
}

// deploy publishes one package of each action, affects them, and shows how they go until there are all results.
func (d *demo) deploy(ctx context.Context) error {
	d.parcels = []*parcel{
		{name: "command", args: []string{"--action", "EXECUTE", "--command", "uname -a"}},
		{name: "program", args: []string{"--action", "LAUNCH", "--command", "hello.sh world"},
			archive: filepath.Join(d.folder, "program.tar.gz")},
		{name: "files", args: []string{"--action", "STORE", "--path", filepath.Join(d.folder, "stored")},
			archive: filepath.Join(d.folder, "files.tar.gz")},
	}
	if err := errors.Join(writeArchive(d.parcels[1].archive, smallBytes),
		writeArchive(d.parcels[2].archive, largeBytes)); err != nil {
		return err
	}
	for _, p := range d.parcels {
		if err := d.publish(ctx, p); err != nil {
			return err
		}
	}
	began := time.Now()
	for _, p := range d.parcels {
		if _, err := d.server.Run(ctx, "affect", "--package", p.id.String(), "--query", "os = linux"); err != nil {
			return err
		}
	}
	if err := d.watch(ctx); err != nil {
		return err
	}
	d.screen.settle(d.last)
	d.screen.say("\nall results within %.1f s", time.Since(began).Seconds())
	return nil
}

// publish builds and activates a package.
func (d *demo) publish(ctx context.Context, p *parcel) error {
	args := append([]string{"package", "build", "--name", p.name, "--os", "linux", "--priority", "1"}, p.args...)
	size := "no archive"
	if p.archive != "" {
		stat, err := os.Stat(p.archive)
		if err != nil {
			return err
		}
		p.bytes = stat.Size()
		args = append(args, "--file", p.archive, "--fragment-size", fragmentSize)
		size = fmt.Sprintf("%.1f MiB in fragments of %s", mebi(p.bytes), fragmentSize)
	}
	var built struct{ ID core.PackageID }
	if err := d.server.JSON(ctx, &built, args...); err != nil {
		return err
	}
	p.id = built.ID
	if _, err := d.server.Run(ctx, "activation", "create", "--package", p.id.String()); err != nil {
		return err
	}
	d.screen.say("package %s, %s: %s, %s", p.id, p.name, p.args[1], size)
	return nil
}

// watch shows how the packages go, until every computer has its results and the stock agent has ended. What agents show
// of themselves is a second late: where all is well, that is waited for too, but not for long.
func (d *demo) watch(ctx context.Context) (err error) {
	if d.stock != nil {
		finish, problem := d.stock.Begin()
		if problem != nil {
			return problem
		}
		defer func() {
			ending, cancel := context.WithCancel(ctx)
			defer cancel()
			if err != nil {
				cancel() // it would go on by itself
			}
			err = errors.Join(err, finish(ending))
		}()
	}
	var ended time.Time // zero: not yet
	return d.wait(ctx, "the deployment", patience, func() (bool, error) {
		if err := d.look(ctx); err != nil || !d.last.hasResults() {
			return false, err
		}
		if ended.IsZero() {
			ended = time.Now()
		}
		return d.last.isSettled() || time.Since(ended) >= settling, nil
	})
}

// report shows what came out, once the ledgers have it, and returns it. It fails unless all is well.
func (d *demo) report(ctx context.Context) (verdict, error) {
	err := d.wait(ctx, "the ledgers", settling, func() (bool, error) {
		err := d.lookAtServer(ctx)
		for _, s := range d.last.sites {
			if s.origin < s.whole {
				return false, err
			}
		}
		return true, err
	})
	if err != nil {
		return verdict{}, err
	}
	result, wrong := judge(d.last, d.computers())
	for _, s := range d.last.sites {
		d.screen.say("%-7s R = %.2f, where each agent for itself makes %d.00; %s", s.name, s.copies(), s.agents, s.causes())
	}
	if len(wrong) > 0 {
		return result, fmt.Errorf("not everything went well:\n%s\n%s", strings.Join(wrong, "\n"), d.server.Log("error.log"))
	}
	return result, nil
}

// stop ends the agents and the server. In a site, one agent ends after the other: whoever leaves waits for somebody who
// is told.
func (d *demo) stop() error {
	var group errgroup.Group
	for _, p := range d.places {
		group.Go(func() (err error) {
			for _, member := range p.members {
				err = errors.Join(err, member.Stop())
			}
			return err
		})
	}
	err := group.Wait()
	if d.server != nil {
		err = errors.Join(err, d.server.Stop())
	}
	return err
}

// close ends everything and removes the folder.
func (d *demo) close() error { return errors.Join(d.stop(), os.RemoveAll(d.folder)) }

// invite says what can be tried on what stays up.
func (d *demo) invite() {
	d.screen.say("\nEverything stays up; try, in another terminal:\n"+
		"  %[1]s site traffic --data %[2]s\n"+
		"  %[1]s computer search --data %[2]s --all\n"+
		"  %[3]s status --state %[4]s\n"+
		"  %[3]s packages --state %[4]s\n"+
		"Ctrl-C ends it.", d.server.Binary, d.server.Data, d.agent, d.places[0].members[0].State)
}
