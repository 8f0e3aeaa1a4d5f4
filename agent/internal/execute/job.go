// Package execute runs a package's command exactly once, as far as physics allows, and says what came of it.
//
// The agent may be restarted, killed or replaced by the very package that it installs. So the command is run
// by a process of its own, the shim: the same program, started with "shim FOLDER", which outlives the
// agent. The two talk through files in a folder, the job, which is the agent's alone:
//
//	order.json   what to do; written by the agent, durable before a shim is started
//	stage/       the unpacked archive, if there is one; there before the order is
//	started      who runs it: process, its start time, boot ID; by the shim, durable before the command runs
//	declined     by a shim that was not told to begin, and has run nothing
//	command      the process of the command, while it runs
//	output       what the command says; only the last part takes room
//	output.old   what stood before it where a file cannot give back room, at most 512 KiB
//	result.json  what came of it; durable when it has its name
//
// The command's temporary files, and its working directory when there is no archive, lie elsewhere: see makeLodge.
//
// A file that decides anything comes into being in one step: written under another name, synced, then
// linked or renamed, then its folder synced. "started" is linked, which fails if it is there: of two shims
// one runs the command, and the other ends without having done anything.
//
// A shim that was started waits for a word of its agent (see [Shim]), which notes durably, elsewhere, who the shim is
// before it gives it. From then on the job counts as begun, whatever becomes of these files: commands remove "their"
// folder, cleaners and backups remove what they do not know. Before the word nothing runs, and without the agent no
// word comes. So [Look] knows a job's [Phase] after any crash of either side and any loss of files: at worst it is
// Interrupted, and never run a second time by this package. Whether it may be is the package's business.
package execute

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"enjambre/agent/internal/notify"
	"enjambre/core"
	"enjambre/core/outcome"
)

// orderVersion is the form of order.json. 1: the first.
const orderVersion = 1

// The files and folders of a job.
const (
	orderFile     = "order.json"
	startedFile   = "started"
	declinedFile  = "declined"
	commandFile   = "command"
	resultFile    = "result.json"
	outputFile    = "output"
	oldOutputFile = "output.old"
	stageFolder   = "stage"
	temporary     = "tmp"
	workFolder    = "work"
)

// maxFile bounds every file of a job that is read whole, in bytes.
const maxFile = 1 << 20

// An Order says what to run. All of it comes from a verified info, or from the agent itself.
type Order struct {
	Version   int                  `json:"version"` // set by Create
	Package   core.PackageID       `json:"package"`
	Nonce     string               `json:"nonce"` // of this attempt; the agent's business
	OS        core.OS              `json:"os"`    // whose rules for command lines and variables hold
	Action    core.Action          `json:"action"`
	Target    string               `json:"target"`        // program and arguments, command, or path
	Stage     bool                 `json:"stage"`         // the archive is unpacked in StageFolder
	TimeLimit time.Duration        `json:"time_limit_ns"` // how long the command may run; above 0
	Codes     outcome.SuccessCodes `json:"codes"`         // exit codes that are a success
	Site      core.SiteName        `json:"site,omitempty"`

	// Session is the desktop that the command runs on, with the service's rights; nil is none.
	Session *notify.Session `json:"session,omitempty"`
	// Forbidden are folders in which STORE places nothing: the agent's state folder.
	Forbidden []string `json:"forbidden,omitempty"`
}

// check refuses orders that nobody could carry out.
func (o Order) check() error {
	_, errOS := core.ParseOS(string(o.OS))
	_, errAction := core.ParseAction(string(o.Action))
	var errLimit, errStage error
	if o.TimeLimit <= 0 {
		errLimit = core.Refuse(core.ClassLimit, "time limit %v: it must be above 0", o.TimeLimit)
	}
	if o.Action.NeedsArchive() && !o.Stage {
		errStage = core.Refuse(core.ClassField, "a %s package needs an unpacked archive", o.Action)
	}
	return errors.Join(errOS, errAction, errLimit, errStage)
}

// ErrClean says that a job's folder could not be removed.
var ErrClean = errors.New("cannot clean up after a package")

// StageFolder returns where a job's archive is to be unpacked, before the order is given. The job's folder
// itself is made by [Make].
func StageFolder(folder string) string { return filepath.Join(folder, stageFolder) }

// Make makes a job's folder, open to nobody else; it may be there already. Its path must be absolute and,
// on Unix, without ":", which would end its place in a search path.
func Make(folder string) error {
	if !filepath.IsAbs(folder) {
		return fmt.Errorf("job folder %q: the path is not absolute", folder)
	}
	if runtime.GOOS != "windows" && strings.Contains(folder, ":") {
		return fmt.Errorf("job folder %q: a path with \":\" cannot be searched for programs", folder)
	}
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("job folder: %w", err)
	}
	return nil
}

// Create gives the order in a job's folder, which it makes if need be. It is durable when Create returns. A
// job is ordered once: the error is an [fs.ErrExist] when it has been.
func Create(folder string, order Order) error {
	if err := Make(folder); err != nil {
		return err
	}
	order.Version = orderVersion
	if err := order.check(); err != nil {
		return fmt.Errorf("order package %s: %w", order.Package, err)
	}
	data, err := json.MarshalIndent(order, "", "  ")
	if err == nil {
		err = createDurable(folder, orderFile, data)
	}
	if err != nil {
		return fmt.Errorf("order package %s: %w", order.Package, err)
	}
	return nil
}

// readOrder reads an order; the error is an [fs.ErrNotExist] when there is none.
func readOrder(folder string) (Order, error) {
	var order Order
	if err := readJSON(folder, orderFile, &order); err != nil {
		return Order{}, err
	}
	if order.Version != orderVersion {
		return Order{}, core.Refuse(core.ClassVersion, "%s has version %d, this program knows %d",
			filepath.Join(folder, orderFile), order.Version, orderVersion)
	}
	return order, order.check()
}

// readJSON reads a file of the job, at most maxFile of it.
func readJSON(folder, name string, to any) error {
	file, err := os.Open(filepath.Join(folder, name))
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := json.Unmarshal(data, to); err != nil {
		return core.Refuse(core.ClassFormat, "%s is damaged: %v", file.Name(), err)
	}
	return nil
}

// Clean removes what a job's command worked with, and keeps order and result. It fails as [Remove] does.
func Clean(folder string) error {
	return removeFrom(folder, stageFolder)
}

// Remove removes a job's folder with everything in it; that it is not there is no error. It refuses a job that still
// runs, and one in whose folder something is mounted: nothing is unmounted, nothing that lies elsewhere is removed.
// Every failure is an [ErrClean]. A removal that was interrupted is gone on with by the next one. A shim that was not
// told to begin runs nothing, so its job may be removed below it.
func Remove(folder string) error {
	state, err := Look(folder, "")
	if err != nil && state.Phase == Running {
		return fmt.Errorf("%w: %s: %w", ErrClean, folder, err)
	}
	if state.Phase == Running {
		return fmt.Errorf("%w: %s: its command still runs", ErrClean, folder)
	}
	// The order goes first: without it the rest means nothing, whatever a crash leaves of it.
	return removeFrom(folder, orderFile, "")
}

// removeFrom removes these from a job's folder, "" for the folder itself, unless something is mounted in it.
func removeFrom(folder string, names ...string) error {
	mounted, err := mountedBelow(folder)
	if err == nil && mounted != "" {
		err = fmt.Errorf("%s is mounted in it; unmount that", mounted)
	}
	for _, name := range names {
		if err == nil {
			err = os.RemoveAll(filepath.Join(folder, name))
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrClean, folder, err)
	}
	return nil
}
