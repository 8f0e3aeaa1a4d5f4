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
	"enjambre/core/ocs"
	"enjambre/core/seal"
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

// shared DATA SITE PACKAGE BYTES is a command of scripts: a computer of the site enrols, and ends the package of this name
// with the word that members sent it so many bytes.
func shared(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: shared DATA SITE PACKAGE BYTES")
	}
	ctx, now, device := context.Background(), time.Now(), core.DeviceID(args[1]+"-2026-01-01-00-00-00")
	folder, err := datafolder.Open(ctx, ts.MkAbs(args[0]))
	ts.Check(err)
	bytes, err := strconv.ParseInt(args[3], 10, 64)
	ts.Check(err)
	list, err := folder.Store.PackagesOnRecord(ctx)
	ts.Check(err)
	key := seal.KeyID{1}
	ts.Check(folder.Store.AddToken(ctx, args[1], store.Token{
		Site: core.SiteName(args[1]), Uses: 1, Expires: now.Add(time.Hour),
	}, now))
	_, err = folder.Store.Enrol(ctx, store.Enrolment{Token: args[1], Device: device, Key: key, Certified: now}, now)
	ts.Check(err)
	from := store.Caller{Device: device, Key: key.String()}
	_, err = folder.Store.SaveInventory(ctx,
		store.Facts{Computer: store.Computer{Device: device, OS: "Debian", Family: core.Linux}, Key: from.Key}, "", now)
	ts.Check(err)
	for _, one := range list {
		if one.Name != args[2] {
			continue
		}
		_, err = folder.Store.AddActivation(ctx,
			store.Activation{Package: one.ID, InfoURL: "a/d", FragmentsURL: "a/d", Site: core.SiteName(args[1]), Created: now})
		ts.Check(err)
		_, err = folder.Store.Affect(ctx, store.Target{Package: one.ID}, store.Selection{Devices: []core.DeviceID{device}},
			store.AffectOptions{}, now)
		ts.Check(err)
		_, err = folder.Store.Contact(ctx, store.Call{Caller: from}, now)
		ts.Check(err)
		ts.Check(folder.Store.SaveResult(ctx, from, ocs.Result{Package: one.ID, Text: "SUCCESS_0", Shared: bytes}, now))
	}
	ts.Check(folder.Close())
}

// stock DATA NAME IP [SYSTEM] is a command of scripts: a stock computer sends its inventory; without SYSTEM it runs Debian.
func stock(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: stock DATA NAME IP [SYSTEM]")
	}
	ctx := context.Background()
	folder, err := datafolder.Open(ctx, ts.MkAbs(args[0]))
	ts.Check(err)
	facts := store.Facts{
		Computer: store.Computer{
			Device: core.DeviceID(args[1] + "-2026-01-01-00-00-00"), Name: args[1], OS: "Debian", Family: core.Linux,
		},
		Addresses: []store.Address{{IP: args[2]}},
	}
	if len(args) > 3 {
		facts.OS, facts.Family = args[3], core.Windows
	}
	_, err = folder.Store.SaveInventory(ctx, facts, "", time.Now())
	ts.Check(errors.Join(err, folder.Close()))
}

// TestScript runs the program as people do. What needs a running server is tested in e2e. The condition
// "mounts" says that a script may mount over the system's folder of units, unseen by others.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"sent": sent, "shared": shared, "stock": stock},
		Condition: func(name string) (bool, error) {
			if name != "mounts" {
				return false, fmt.Errorf("no condition %q", name)
			}
			return exec.Command("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/etc/systemd/system").Run() == nil, nil
		},
	})
}
