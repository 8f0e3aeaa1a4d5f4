package diagnose

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/disk"

	"enjambre/agent/internal/aside"
	"enjambre/agent/internal/config"
	"enjambre/agent/internal/daemon"
	"enjambre/agent/internal/inventory"
	"enjambre/agent/internal/ledger"
	"enjambre/agent/internal/state"
	"enjambre/core/identity"
	"enjambre/core/pemfile"
)

// Limits below which a person should know.
const (
	soon        = 7 * 24 * time.Hour  // a certificate's end that the agent should have renewed away
	authorityIn = 30 * 24 * time.Hour // an authority's end
	roomWanted  = 1 << 30             // bytes for packages
)

// lost notes that something of what makes the agent the one it is cannot be used, and what helps.
func (r *run) lost(name string, err error) {
	r.add(name, Fail, strings.TrimSuffix(err.Error(), "; "+state.RestoreOrEnrol), state.RestoreOrEnrol)
}

// ifClock puts before an advice that depends on the time, which only this computer tells, what to look at first.
func (r *run) ifClock(advice string) string {
	if r.told {
		return advice
	}
	return "is this computer's clock right? Set it, or let it be set by NTP; only if it is: " + advice
}

// stateFolder opens the state folder if it is there.
func (r *run) stateFolder() {
	const name = "state folder"
	path := r.options.Settings.State
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.add(name, Fail, path+" does not exist", "enroll, or install and start the service; or name another with --state")
		return
	case errors.Is(err, fs.ErrPermission):
		r.add(name, Fail, err.Error(), "run this as root (sudo)")
		return
	case err != nil:
		r.add(name, Fail, err.Error(), "")
		return
	}
	folder, err := state.Find(path)
	if err != nil {
		r.add(name, Fail, err.Error(), "give it back to root alone (chown, chmod)")
		return
	}
	r.folder = folder
	if stat, err := os.Stat(path); err == nil && runtime.GOOS != "windows" && stat.Mode().Perm()&0o066 != 0 {
		r.add(name, Warn, fmt.Sprintf("%s: others may look into it", path), "chmod 711 "+path)
		return
	}
	r.add(name, OK, fmt.Sprintf("%s, %d entries", path, len(entries)), "")
}

// identity says who the agent is.
func (r *run) identity() {
	const name = "identity"
	if r.folder == nil {
		r.skip("no state folder", name)
		return
	}
	known, err := r.folder.Identity()
	switch {
	case errors.Is(err, state.ErrNotEnrolled):
		settings := r.options.Settings
		if _, tokenErr := os.Stat(settings.TokenFile); settings.Enrols() && tokenErr == nil {
			r.add(name, Warn, "not enrolled yet; the service enrols by itself with "+settings.Server,
				"see the checks below, and \"enjambre-agent status\" for its last problem")
			return
		}
		r.add(name, Fail, err.Error(), "enjambre-agent enroll, with a token of \"enjambre-server enroll token\"")
	case err != nil:
		r.lost(name, err)
	default:
		r.known, r.member = known, true
		r.add(name, OK, fmt.Sprintf("%s in deployment %s, site %s", known.Device, known.Deployment, known.Site), "")
	}
}

// certificate says whether the agent can prove who it is.
func (r *run) certificate() {
	const name = "certificate"
	if !r.member {
		r.skip("not enrolled", name)
		return
	}
	certificate, err := r.folder.Certificate()
	if err != nil {
		r.lost(name, err)
		return
	}
	end := certificate.Leaf.NotAfter
	switch {
	case r.now.After(end.Add(identity.RenewalGrace)):
		r.add(name, Fail, "expired on "+date(end)+", too long ago to be renewed", r.ifClock(state.RestoreOrEnrol))
	case r.now.After(end):
		r.add(name, Warn, "expired on "+date(end), r.ifClock("nothing: the next contact renews it"))
	case r.now.After(end.Add(-soon)):
		r.add(name, Warn, "ends on "+date(end)+" and is not renewed yet", "see why no contact succeeds")
	default:
		r.add(name, OK, "until "+date(end), "")
	}
}

// authorityFile returns the file of what the server is verified with.
func (r *run) authorityFile() string {
	if r.member {
		return r.folder.CAFile()
	}
	return r.options.Settings.CA
}

// authority says whether the server's authority is there and good.
func (r *run) authority() {
	const name = "authority"
	file := r.authorityFile()
	if file == "" {
		r.skip("not enrolled", name)
		return
	}
	const advice = "copy the server's cacert.pem there"
	certificates, err := readCertificates(file)
	if err != nil {
		r.add(name, Fail, err.Error(), advice)
		return
	}
	var last time.Time
	for _, one := range certificates {
		if one.NotAfter.After(last) {
			last = one.NotAfter
		}
	}
	found := fmt.Sprintf("%s: %q, until %s", file, certificates[0].Subject.String(), date(last))
	switch {
	case r.now.After(last):
		r.add(name, Fail, found+", which is over", r.ifClock(advice))
	case r.now.After(last.Add(-authorityIn)):
		r.add(name, Warn, found, "the server should announce the next one: enjambre-server tls next")
	default:
		r.add(name, OK, found, "")
	}
}

// readCertificates reads a PEM file of at most 1 MiB, with one certificate at least.
func readCertificates(name string) ([]*x509.Certificate, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, pemfile.MaxFile+1))
	if err != nil {
		return nil, err
	}
	return pemfile.Certificates(data, name)
}

// disk says how much packages may take.
func (r *run) disk(ctx context.Context) {
	const name = "disk"
	if r.folder == nil {
		r.skip("no state folder", name)
		return
	}
	reserve, err := config.ParseSize(r.options.Settings.VaultReserve)
	var most, free int64
	if err == nil {
		most, err = config.ParseSize(r.options.Settings.VaultMax)
	}
	if err == nil {
		free, err = r.options.Free(ctx, r.folder.Path())
	}
	if err != nil {
		r.add(name, Warn, err.Error(), "")
		return
	}
	found := fmt.Sprintf("%s free, of which %s stay so; packages take at most %s", gib(free), gib(reserve), gib(most))
	const advice = "make room on that disk, or lower vault_reserve"
	switch room := free - reserve; {
	case room <= 0:
		r.add(name, Fail, found+": no package fits", advice)
	case room < min(roomWanted, most):
		r.add(name, Warn, found, advice)
	default:
		r.add(name, OK, found, "")
	}
}

func gib(bytes int64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }

func freeBytes(ctx context.Context, folder string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	usage, err := aside.Do(ctx, "free space of "+folder, func() (*disk.UsageStat, error) {
		return disk.UsageWithContext(ctx, folder)
	})
	if err != nil {
		return 0, fmt.Errorf("free space: %w", err)
	}
	return int64(min(usage.Free, 1<<62)), nil
}

// dialog says whether users can be asked before a package runs.
func (r *run) dialog(ctx context.Context) {
	const name = "dialog"
	if runtime.GOOS != "linux" {
		r.skip("users are asked on Linux only", name)
		return
	}
	for _, program := range []string{"zenity", "kdialog"} {
		for _, folder := range r.options.Programs {
			if stat, err := os.Stat(filepath.Join(folder, program)); err == nil && stat.Mode().Perm()&0o111 != 0 {
				r.add(name, OK, filepath.Join(folder, program), "")
				return
			}
		}
	}
	session, active, err := r.options.Session(ctx)
	if err != nil || !active {
		r.add(name, OK, "none, and nobody sits at a desktop here: packages run without asking", "")
		return
	}
	r.add(name, Warn, fmt.Sprintf("neither zenity nor kdialog: %s cannot be asked, packages run without", session),
		"install zenity")
}

// ledger says whether what has run is known.
func (r *run) ledger() {
	const name = "ledger"
	if r.folder == nil {
		r.skip("no state folder", name)
		return
	}
	attempts, err := ledger.Read(r.folder.Path(daemon.LedgerName))
	if err != nil {
		r.add(name, Fail, err.Error(), "ask for help before removing it: without it packages may run twice")
		return
	}
	unreported := 0
	for _, attempt := range attempts {
		if attempt.Stage == ledger.Ended {
			unreported++
		}
	}
	r.add(name, OK, fmt.Sprintf("%d packages, %d results to report", len(attempts), unreported), "")
}

// inventory says what cannot be read of this computer.
func (r *run) inventory(ctx context.Context) {
	const name = "inventory"
	report, err := inventory.Survey(ctx, r.options.System)
	if err != nil {
		r.skip(err.Error(), name)
		return
	}
	if len(report.Notes) == 0 {
		r.add(name, OK, fmt.Sprintf("%d entries, all sources read", len(report.Sections)), "")
		return
	}
	notes := make([]string, 0, len(report.Notes))
	for _, note := range report.Notes {
		notes = append(notes, note.String())
	}
	r.add(name, Warn, strings.Join(notes, "; "), "what cannot be read is left out of the inventory; the rest is sent")
}

// agent says whether an agent runs, and its last problem.
func (r *run) agent() {
	const name = "agent"
	if r.folder == nil {
		r.skip("no state folder", name)
		return
	}
	running, err := r.isRunning()
	if err != nil {
		r.add(name, Warn, err.Error(), "")
		return
	}
	if !running {
		r.add(name, Warn, "does not run", "enjambre-agent service start")
		return
	}
	var status daemon.Status
	if err := r.folder.Load(daemon.StatusName, &status); err != nil {
		r.add(name, Warn, "runs; its status cannot be read: "+err.Error(), "")
		return
	}
	found := fmt.Sprintf("runs as process %d since %s", status.Process, moment(status.Started))
	if !status.LastContact.IsZero() {
		found += ", last contact " + moment(status.LastContact)
	}
	if status.LastProblem != "" {
		r.add(name, Warn, found+"; last problem: "+status.LastProblem, "see the checks above, and its log")
		return
	}
	r.add(name, OK, found, "")
}
