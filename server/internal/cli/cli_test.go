package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"enjambre/core"
	"enjambre/peer/lease"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/store"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		Name: func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// sent DATA SITE PACKAGE BYTES EXTRA CAUSE UNIX is a command of scripts: it appends to a site's ledger that so many bytes
// of the package of this name went into the site at a time, and how many of them again, of which cause by its number.
// "all" is as many as the package has.
func sent(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 7 {
		ts.Fatalf("usage: sent DATA SITE PACKAGE BYTES EXTRA CAUSE UNIX")
	}
	data := ts.MkAbs(args[0])
	folder, err := datafolder.Open(context.Background(), data)
	ts.Check(err)
	packages, err := folder.Store.PackagesOnRecord(context.Background())
	ts.Check(errors.Join(err, folder.Close()))
	of := store.Package{InfoDigest: core.DigestOf([]byte(args[2]))}
	for _, one := range packages {
		if one.Name == args[2] {
			of = one
		}
	}
	var numbers [4]int64
	for i, text := range args[3:] {
		if numbers[i] = of.ArchiveSize; text != "all" {
			numbers[i], err = strconv.ParseInt(text, 10, 64)
			ts.Check(err)
		}
	}
	entry := lease.Entry{
		Kind: lease.KindSent, Bytes: uint32(numbers[0]), Extra: uint32(numbers[1]), Cause: lease.Cause(numbers[2]),
		At: time.Unix(numbers[3], 0), Package: of.InfoDigest,
	}
	ts.Check(os.MkdirAll(filepath.Join(data, "swarm"), 0o700))
	file, err := os.OpenFile(filepath.Join(data, "swarm", args[1]+".ledger"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	_, err = file.Write(entry.Append(nil))
	ts.Check(errors.Join(err, file.Close()))
}

// TestScript runs the program as people do. What needs a running server is tested in e2e. The condition
// "mounts" says that a script may mount over the system's folder of units, unseen by others.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"sent": sent},
		Condition: func(name string) (bool, error) {
			if name != "mounts" {
				return false, fmt.Errorf("no condition %q", name)
			}
			return exec.Command("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/etc/systemd/system").Run() == nil, nil
		},
	})
}
