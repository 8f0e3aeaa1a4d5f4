// Command demo shows Enjambre on this machine: a server, three sites of several agents, each a process with a folder of
// its own in a temporary one, and the stock OCS agent beside them where it is installed. It deploys one package of each
// action to all of them and shows how each goes, and how many copies of them enter each site: R, which is 1.00 in the
// end, since the agents of a site share what one of them was sent. The sites are names: all is on the loopback, and the
// server keeps to a WAN rate for each, so that one sees it. Waits are set to next to nothing; the defaults are minutes.
//
// It then stays up, so that commands can be tried on it. With --once it ends by itself, with exit code 0 only if every
// package succeeded everywhere and R is at most 1.05 at each site. With --json what came out is one line on stdout, and
// everything else is on stderr:
//
//	{"sites":[{"name":"lyon","members":4,"copies":1}],"ok":true}
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// options say how to run.
type options struct {
	once bool // end after the deployment
	json bool // print the verdict
}

func main() {
	var o options
	flag.BoolVar(&o.once, "once", false, "end after the deployment; exit code 0 only if all went well")
	flag.BoolVar(&o.json, "json", false, "print what came out as one line on stdout, and all else on stderr")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: error: unknown argument %q; see --help\n", flag.Arg(0))
		os.Exit(2)
	}
	// A reader that has gone away, or a terminal, must not leave a dozen processes behind.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "demo: error:", err)
		os.Exit(1)
	}
}

// run shows the demo, and prints the verdict even if it came to none.
func run(ctx context.Context, o options) (err error) {
	shown := newScreen(os.Stdout)
	if o.json {
		shown = newScreen(os.Stderr)
	}
	d, err := open(ctx, shown)
	if err != nil {
		return errors.Join(err, o.tell(verdict{}))
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.deploy(ctx); err != nil {
		return errors.Join(err, o.tell(verdict{}))
	}
	if o.once { // then nothing is under way any more that could still be booked
		if err := d.stop(); err != nil {
			return errors.Join(err, o.tell(verdict{}))
		}
	}
	result, err := d.report(ctx)
	if err = errors.Join(err, o.tell(result)); err != nil || o.once {
		return err
	}
	d.invite()
	<-ctx.Done()
	return nil
}

// tell prints the verdict, if it is wanted.
func (o options) tell(result verdict) error {
	if !o.json {
		return nil
	}
	line, err := result.line()
	if err != nil {
		return err
	}
	_, err = fmt.Println(line)
	return err
}
