// Command demo shows Enjambre on this machine: it starts a server in a temporary folder and the stock OCS
// agent as a client of it, deploys one package of each action, and prints how each goes. Latencies are set
// to nothing, so that it takes seconds; the defaults are minutes.
//
// It then stays up, so that commands can be tried on it. With --once it ends by itself, with exit code 0
// only if every package succeeded.
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
	if err := stage.HaveAgent(); err != nil {
		return fmt.Errorf("the demo needs the stock agent: %w", err)
	}
	folder, err := os.MkdirTemp("", "enjambre-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	fmt.Println("building the server ...")
	binary, err := stage.Build(ctx, folder)
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
	agent := &stage.Agent{
		Server: server.Address + "/ocsinventory",
		CA:     filepath.Join(server.Data, "cacert.pem"),
		Folder: filepath.Join(folder, "agent"),
		Tag:    "DEMO",
	}
	if err := deploy(ctx, server, agent, folder); err != nil {
		return err
	}
	if once {
		return nil
	}
	fmt.Printf(
		"\nThe server stays up; try, in another terminal:\n  %s computer search --data %s --all\nCtrl-C ends it.\n",
		binary,
		server.Data,
	)
	<-ctx.Done()
	return nil
}

// A parcel is one package of the demo.
type parcel struct {
	name string
	args []string
	id   string
}

func deploy(ctx context.Context, server *stage.Server, agent *stage.Agent, folder string) error {
	for _, setting := range []string{"DOWNLOAD_CYCLE_LATENCY", "DOWNLOAD_FRAG_LATENCY", "DOWNLOAD_PERIOD_LATENCY"} {
		if _, err := server.Run(ctx, "config", "set", setting, "0"); err != nil {
			return err
		}
	}
	fmt.Println("latencies are 0 here; the defaults are 60 s a cycle and 10 s a fragment")
	archive := filepath.Join(folder, "package.tar.gz")
	if err := writeArchive(archive); err != nil {
		return err
	}
	stored := filepath.Join(folder, "stored")
	parcels := []*parcel{
		{
			name: "files",
			args: []string{"--action", "STORE", "--path", stored, "--file", archive, "--fragment-size", "64KiB"},
		},
		{name: "program", args: []string{"--action", "LAUNCH", "--command", "hello.sh world", "--file", archive}},
		{name: "command", args: []string{"--action", "EXECUTE", "--command", "uname -a"}},
	}
	fmt.Println("agent    first contact and inventory ...")
	if err := agent.Run(ctx); err != nil {
		return err
	}
	for _, p := range parcels {
		if err := publish(ctx, server, p); err != nil {
			return err
		}
	}
	fmt.Println("agent    contact, downloads, results ...")
	start := time.Now()
	if err := agent.Run(ctx); err != nil {
		return err
	}
	return report(ctx, server, parcels, time.Since(start))
}

// publish builds, activates and affects one package.
func publish(ctx context.Context, server *stage.Server, p *parcel) error {
	var built struct{ ID string }
	args := append(
		[]string{"package", "build", "--name", p.name, "--os", "linux", "--priority", "1"},
		p.args...)
	if err := server.JSON(ctx, &built, args...); err != nil {
		return err
	}
	p.id = built.ID
	if _, err := server.Run(ctx, "activation", "create", "--package", p.id); err != nil {
		return err
	}
	if _, err := server.Run(ctx, "affect", "--package", p.id, "--query", "os = linux"); err != nil {
		return err
	}
	fmt.Printf("package  %s %-8s %s\n", p.id, p.name, strings.Join(p.args[:4], " "))
	return nil
}

func report(ctx context.Context, server *stage.Server, parcels []*parcel, took time.Duration) error {
	var failed []string
	for _, p := range parcels {
		var status struct {
			Computers int
			States    map[string]int
			Results   map[string]int
		}
		if err := server.JSON(ctx, &status, "rollout", "status", "--package", p.id); err != nil {
			return err
		}
		fmt.Printf("result   %s %-8s %v\n", p.id, p.name, status.Results)
		if status.Computers == 0 || status.States["SUCCESS"] != status.Computers {
			failed = append(failed, p.name)
		}
	}
	fmt.Printf("took %.1f s\n", took.Seconds())
	if len(failed) > 0 {
		return fmt.Errorf("not everything succeeded: %s\n%s", strings.Join(failed, ", "), server.Log("error.log"))
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
	data := make([]byte, 300<<10)
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
