package cli

import (
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"enjambre/agent/internal/daemon"
	"enjambre/agent/internal/ledger"
	"enjambre/agent/internal/plan"
	"enjambre/agent/internal/state"
	"enjambre/core"
)

// A status is what "status" prints.
type status struct {
	Running bool `json:"running"`
	daemon.Status
	CertifiedUntil time.Time `json:"certifiedUntil"`
}

func (p *program) status() *cobra.Command {
	var where *place
	command := &cobra.Command{
		Use: "status", Short: "where the agent stands", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p.started = true
			found, err := readStatus(where)
			if err != nil {
				return err
			}
			return p.print(found, found.write)
		},
	}
	where = p.place(command)
	p.jsonFlag(command)
	return command
}

func readStatus(where *place) (status, error) {
	folder, err := where.find()
	if err != nil {
		return status{}, err
	}
	known, err := folder.Identity()
	var certificate *tls.Certificate
	if err == nil {
		certificate, err = folder.Certificate()
	}
	if err != nil {
		return status{}, notYet(folder, err)
	}
	found := status{CertifiedUntil: certificate.Leaf.NotAfter}
	if found.Running, err = folder.Running(); err != nil {
		return status{}, err
	}
	if err := folder.Load(daemon.StatusName, &found.Status); err != nil && found.Running {
		return status{}, err
	}
	found.Deployment, found.Computer, found.Site, found.Server = known.Deployment, known.Device, known.Site, known.Server
	return found, nil
}

// notYet adds to the news that an agent is not enrolled, or not any more, what a running one does about it.
func notYet(folder *state.Folder, err error) error {
	var tries daemon.Status
	running, lockErr := folder.Running()
	if lockErr != nil || !running || folder.Load(daemon.StatusName, &tries) != nil || tries.LastProblem == "" {
		return err
	}
	return fmt.Errorf("%w\nit runs as process %d and tries again by itself; %s", err, tries.Process, tries.LastProblem)
}

func (s status) write(w io.Writer) {
	row := func(name string, value any) { fmt.Fprintf(w, "%s\t%v\n", name, value) }
	row("computer", s.Computer)
	row("deployment", fmt.Sprintf("%s, site %s", s.Deployment, s.Site))
	row("server", s.Server)
	row("certified until", at(s.CertifiedUntil))
	if s.Running {
		row("agent", fmt.Sprintf("runs since %s as process %d", at(s.Started), s.Process))
	} else {
		row("agent", "does not run; below is how it stood when it last did")
	}
	row("last contact", at(s.LastContact))
	if s.LastProblem != "" {
		row("last problem", s.LastProblem)
	}
	if s.Running {
		row("next contact", at(s.NextContact))
	}
	if s.SwitchedOff {
		row("deployment", "is switched off for this computer")
	}
	if s.Unreported > 0 {
		row("results to report", s.Unreported)
	}
	row("swarm", s.Swarm)
	for _, task := range s.Packages {
		row("package "+task.Package.String(), inWords(task))
	}
	for _, one := range s.Sources {
		text := fmt.Sprintf("%d from the server, %d from members; %d neighbours share it",
			one.Origin, one.Members, s.Holders[one.Package])
		if one.Copies > 0 {
			text += fmt.Sprintf("; R at this site so far: %.3f", one.Copies)
		}
		row("bytes of "+one.Package.String(), text)
	}
}

// inWords says where a package stands.
func inWords(task plan.Task) string {
	text := fmt.Sprintf("%d of %d fragments", task.Have, task.Of)
	switch {
	case !task.Known:
		text = "its info file is not there yet"
	case task.Running:
		text = "its command is running"
	case task.NeverOpens:
		text = fmt.Sprintf("priority %d is above the period's length: it is never due", task.Priority)
	case task.Waits != "" && task.Have == task.Of:
		text = "complete, " + task.Waits
	case task.Waits != "":
		text += ", " + task.Waits
	case task.Have == task.Of && !task.RunAfter.IsZero():
		text = "complete, runs after " + at(task.RunAfter)
	case task.Have == task.Of:
		text = "complete, waits for its turn"
	}
	if task.Known && !task.Running && task.Waits == "" && task.OpensIn > 0 {
		text += fmt.Sprintf(" in cycle %d", task.OpensIn)
		if !task.OpensAt.IsZero() {
			text += ", not before " + at(task.OpensAt)
		}
	}
	if task.Problem != "" {
		text += "; last problem: " + task.Problem
	}
	return text
}

func at(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// A package's history, as "packages" prints it.
type pastPackage struct {
	Package   core.PackageID `json:"package"`
	State     string         `json:"state"`              // "pending", "running", "ended" or "reported"
	Priority  *core.Priority `json:"priority,omitempty"` // nil: not known, or not any more
	Text      string         `json:"text,omitempty"`
	Exit      string         `json:"exit,omitempty"`
	Detail    string         `json:"detail,omitempty"`
	Attempt   int            `json:"attempt,omitempty"`
	Installed bool           `json:"installed"`
	At        time.Time      `json:"at,omitzero"`
}

func (p *program) packages() *cobra.Command {
	var where *place
	command := &cobra.Command{
		Use: "packages", Short: "every package this computer was given, and how it ended", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p.started = true
			found, err := readPackages(where)
			if err != nil {
				return err
			}
			return p.print(map[string]any{"packages": found}, func(w io.Writer) {
				fmt.Fprintln(w, "PACKAGE\tPRIORITY\tSTATE\tRESULT\tEXIT\tATTEMPT\tINSTALLED\tAT\tDETAIL")
				for _, one := range found {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%v\t%s\t%.120s\n", one.Package, one.priority(), one.State, one.Text, one.Exit,
						one.Attempt, one.Installed, at(one.At), one.Detail)
				}
			})
		},
	}
	where = p.place(command)
	p.jsonFlag(command)
	return command
}

// priority is Priority for people.
func (p pastPackage) priority() string {
	if p.Priority == nil {
		return "-"
	}
	return strconv.Itoa(int(*p.Priority))
}

func readPackages(where *place) ([]pastPackage, error) {
	found, err := readStatus(where)
	if err != nil {
		return nil, err
	}
	folder, err := where.find()
	if err != nil {
		return nil, err
	}
	attempts, err := ledger.Read(folder.Path(daemon.LedgerName))
	if err != nil {
		return nil, err
	}
	pending := map[core.PackageID]plan.Task{}
	for _, task := range found.Packages {
		if !task.Running {
			pending[task.Package] = task
		}
	}
	packages := []pastPackage{}
	stages := map[ledger.Stage]string{ledger.Intended: "running", ledger.Ended: "ended", ledger.Reported: "reported"}
	for _, attempt := range attempts {
		if _, waits := pending[attempt.Package]; waits && attempt.Stage == ledger.Intended {
			continue // it was about to run and did not
		}
		packages = append(packages, pastPackage{
			Package: attempt.Package, State: stages[attempt.Stage], Text: attempt.Result.Text, Exit: attempt.Result.Exit,
			Detail: attempt.Result.Detail, Attempt: attempt.Number, Installed: attempt.Result.Installed, At: attempt.At,
		})
	}
	for id, task := range pending {
		one := pastPackage{Package: id, State: "pending", Detail: inWords(task)}
		if task.Known {
			one.Priority = &task.Priority
		}
		packages = append(packages, one)
	}
	slices.SortStableFunc(packages, func(a, b pastPackage) int { return int(a.Package - b.Package) })
	return packages, nil
}
