// Command demo shows Enjambre on this machine: a server and three agents, each a process with a folder of its own in
// a temporary one, and the stock OCS agent beside them where it is installed. It deploys one package of each action to
// all of them and shows how each goes. Latencies are set to next to nothing, so that it takes seconds; the
// defaults are minutes.
//
// It then stays up, so that commands can be tried on it. With --once it ends by itself, with exit code 0
// only if every package succeeded everywhere.
package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"enjambre/e2e/stage"
)

// agents is how many of our own agents there are.
const agents = 3

// patience is how long the deployment may take.
const patience = 90 * time.Second

func main() {
	once := flag.Bool("once", false, "end after the deployment")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *once); err != nil {
		fmt.Fprintln(os.Stderr, "demo: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, once bool) (err error) {
	folder, err := os.MkdirTemp("", "enjambre-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	fmt.Println("building the programs ...")
	binary, err := stage.Build(ctx, folder)
	if err != nil {
		return err
	}
	agent, err := stage.BuildAgent(ctx, folder)
	if err != nil {
		return err
	}
	server, err := stage.NewServer(ctx, binary, folder)
	if err != nil {
		return err
	}
	if err := server.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	fmt.Printf("server   %s and %s, data in %s\n", server.Address, server.HTTP, server.Data)
	d := &demo{server: server, folder: folder}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := d.prepare(ctx, agent); err != nil {
		return err
	}
	if err := d.deploy(ctx); err != nil {
		return err
	}
	if once {
		return nil
	}
	fmt.Printf("\nEverything stays up; try, in another terminal:\n  %s computer search --data %s --all\n"+
		"  %s packages --state %s\nCtrl-C ends it.\n", binary, server.Data, agent, d.members[0].State)
	<-ctx.Done()
	return nil
}

// A demo is what is on the stage.
type demo struct {
	server  *stage.Server
	folder  string
	members []*stage.Member
	stock   *stage.Agent // nil where it is not installed
	parcels []*parcel
}

// A parcel is one package of the demo.
type parcel struct {
	name string
	args []string
	id   string
}

// stop ends the agents.
func (d *demo) stop() (err error) {
	for _, member := range d.members {
		err = errors.Join(err, member.Stop())
	}
	return err
}

// prepare enrols our agents, starts them as services, and lets the stock agent call for the first time.
func (d *demo) prepare(ctx context.Context, binary string) error {
	for _, setting := range []string{
		"DOWNLOAD_CYCLE_LATENCY 1", "DOWNLOAD_FRAG_LATENCY 0", "DOWNLOAD_PERIOD_LATENCY 0", "CONTACT_SECONDS 5",
	} {
		if _, err := d.server.Run(ctx, append([]string{"config", "set"}, strings.Fields(setting)...)...); err != nil {
			return err
		}
	}
	fmt.Println("latencies are next to nothing here; the defaults are 60 s a cycle, 10 s a fragment, 1 h a contact")
	for n := range agents {
		name := fmt.Sprintf("agent-%d", n+1)
		member, err := stage.NewMember(ctx, d.server, binary, d.folder, name, "demo")
		if err != nil {
			return err
		}
		if err := member.Start(); err != nil {
			return err
		}
		d.members = append(d.members, member)
		device, err := member.Device()
		if err != nil {
			return err
		}
		fmt.Printf("%s  enrolled as %s, process %d\n", name, device, member.PID())
	}
	if err := stage.HaveAgent(); err != nil {
		fmt.Println("stock    left out:", err)
	} else {
		d.stock = &stage.Agent{
			Server: d.server.Address + "/ocsinventory", CA: filepath.Join(d.server.Data, "cacert.pem"),
			Folder: filepath.Join(d.folder, "stock"), Tag: "DEMO",
		}
		fmt.Println("stock    first contact and inventory of the OCS agent ...")
		if err := d.stock.Run(ctx); err != nil {
			return err
		}
	}
	return d.known(ctx)
}

// known waits until the server knows every computer: who has not sent an inventory cannot be affected.
func (d *demo) known(ctx context.Context) error {
	want := len(d.members)
	if d.stock != nil {
		want++
	}
	return d.wait(ctx, "the first contacts", func() (bool, error) {
		var found struct{ Computers []struct{ Name string } }
		err := d.server.JSON(ctx, &found, "computer", "search", "os = linux")
		return len(found.Computers) == want, err
	})
}

// wait waits until something is done.
func (d *demo) wait(ctx context.Context, what string, done func() (bool, error)) error {
	deadline := time.After(patience)
	for {
		if is, err := done(); is || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return fmt.Errorf("%s: not within %v\n%s", what, patience, d.server.Log("error.log"))
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// deploy publishes one package of each action and shows how they go.
func (d *demo) deploy(ctx context.Context) error {
	archive := filepath.Join(d.folder, "package.tar.gz")
	if err := writeArchive(archive); err != nil {
		return err
	}
	d.parcels = []*parcel{
		{name: "files", args: []string{"--action", "STORE", "--path", filepath.Join(d.folder, "stored"), "--file", archive}},
		{name: "program", args: []string{"--action", "LAUNCH", "--command", "hello.sh world", "--file", archive}},
		{name: "command", args: []string{"--action", "EXECUTE", "--command", "uname -a"}},
	}
	for _, p := range d.parcels {
		if err := d.publish(ctx, p); err != nil {
			return err
		}
	}
	start := time.Now()
	if d.stock != nil {
		finish, err := d.stock.Begin()
		if err != nil {
			return err
		}
		if err := d.watch(ctx); err != nil {
			return errors.Join(err, finish(ctx))
		}
		if err := finish(ctx); err != nil {
			return err
		}
	} else if err := d.watch(ctx); err != nil {
		return err
	}
	return d.report(ctx, time.Since(start))
}

// publish builds, activates and affects one package.
func (d *demo) publish(ctx context.Context, p *parcel) error {
	var built struct{ ID string }
	args := append([]string{"package", "build", "--name", p.name, "--os", "linux", "--priority", "1"}, p.args...)
	if err := d.server.JSON(ctx, &built, args...); err != nil {
		return err
	}
	p.id = built.ID
	if _, err := d.server.Run(ctx, "activation", "create", "--package", p.id); err != nil {
		return err
	}
	if _, err := d.server.Run(ctx, "affect", "--package", p.id, "--query", "os = linux"); err != nil {
		return err
	}
	fmt.Printf("package  %s %-8s %s\n", p.id, p.name, strings.Join(p.args[:4], " "))
	return nil
}

// A rollout is what the server says of a package.
type rollout struct {
	Computers int
	States    map[string]int
	Progress  map[string]int
	Results   map[string]int
}

// watch shows each change of the states until every package has its results.
func (d *demo) watch(ctx context.Context) error {
	shown := ""
	return d.wait(ctx, "the deployment", func() (bool, error) {
		isOver, line := true, "states  "
		for _, p := range d.parcels {
			var r rollout
			if err := d.server.JSON(ctx, &r, "rollout", "status", "--package", p.id); err != nil {
				return false, err
			}
			waiting, notified := r.States["WAITING_NOTIFICATION"], r.States["NOTIFIED"]
			isOver = isOver && waiting+notified == 0
			line += fmt.Sprintf(" %s: %d waiting, %d notified", p.name, waiting, notified)
			for _, phase := range []string{"DOWNLOADING", "INSTALLING"} {
				if n := r.Progress[phase]; n > 0 {
					line += fmt.Sprintf(" (%d %s)", n, strings.ToLower(phase))
				}
			}
			line += fmt.Sprintf(", %d done;", r.Computers-waiting-notified)
		}
		if line != shown {
			fmt.Println(line)
			shown = line
		}
		return isOver, nil
	})
}

// report shows the results. It fails unless all succeeded.
func (d *demo) report(ctx context.Context, took time.Duration) error {
	var failed []string
	for _, p := range d.parcels {
		var r rollout
		if err := d.server.JSON(ctx, &r, "rollout", "status", "--package", p.id); err != nil {
			return err
		}
		fmt.Printf("result   %s %-8s %d of %d computers, %v\n", p.id, p.name, r.States["SUCCESS"], r.Computers, r.Results)
		if r.Computers == 0 || r.States["SUCCESS"] != r.Computers {
			failed = append(failed, p.name)
		}
	}
	fmt.Printf("took %.1f s\n", took.Seconds())
	if len(failed) > 0 {
		return fmt.Errorf("not everything succeeded: %s\n%s", strings.Join(failed, ", "), d.server.Log("error.log"))
	}
	return nil
}

// writeArchive makes a package's archive: a script, and data that does not shrink, so that there are
// several fragments.
func writeArchive(path string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	compressed := gzip.NewWriter(file)
	archive := tar.NewWriter(compressed)
	data := make([]byte, 2<<20)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	script := []byte("#!/bin/sh\necho \"hello, $1\"\n")
	for _, entry := range []struct {
		name string
		mode int64
		data []byte
	}{{"hello.sh", 0o755, script}, {"data/random.bin", 0o644, data}} {
		header := &tar.Header{
			Name:     entry.name,
			Mode:     entry.mode,
			Size:     int64(len(entry.data)),
			Typeflag: tar.TypeReg,
		}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(entry.data); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), compressed.Close())
}
