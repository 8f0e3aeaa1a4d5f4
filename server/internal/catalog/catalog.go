// Package catalog builds packages and makes them available: it reads the administrator's form, has the
// archive cut, judged and published, signs the info file, and checks that an activation's places really
// serve what was built.
//
// A build goes in this order, and may be interrupted anywhere: reserve an ID; cut the archive into a
// draft folder; judge the archive as it was cut, so that what is published is what was judged; write and
// sign the info file; name the folder; record the package. Until the last step nothing serves the files,
// and a folder without record is swept.
package catalog

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"enjambre/core"
	"enjambre/core/archive"
	"enjambre/core/command"
	"enjambre/core/info"
	"enjambre/core/seal"
	"enjambre/server/internal/depot"
	"enjambre/server/internal/setting"
	"enjambre/server/internal/store"
)

// A Catalog builds and activates packages. All fields are required. It holds no state of its own.
type Catalog struct {
	Store      *store.Store
	Depot      *depot.Depot
	Deployment string
	Signer     ed25519.PrivateKey
	Log        *slog.Logger
}

// A Built package, and what its administrator should know.
type Built struct {
	Package  store.Package
	Warnings []string
}

// Build builds and publishes a package. Every mistake of the form is reported at once, then every bad
// entry of the archive. Whatever goes wrong, nothing is left behind but the ID, which is never used again.
func (c *Catalog) Build(ctx context.Context, form Form, now time.Time) (Built, error) {
	order, err := form.read()
	if err != nil {
		return Built{}, err
	}
	defer order.close()
	if err := c.Sweep(ctx); err != nil {
		return Built{}, err
	}
	settings, err := c.Store.Settings(ctx, "")
	if err != nil {
		return Built{}, err
	}
	id, err := c.Store.ReserveID(ctx, now)
	if err != nil {
		return Built{}, err
	}
	draft, err := c.Depot.NewDraft(id)
	if err != nil {
		return Built{}, err
	}
	built, err := c.fill(ctx, draft, id, order, now)
	if err == nil {
		built.Warnings = append(built.Warnings, warnings(&order.info, order.inArchive, settings)...)
		err = c.publish(ctx, draft, built.Package)
	}
	return built, errors.Join(err, draft.Close())
}

// Sweep removes what interrupted builds and deletions have left, and logs what it could not remove.
func (c *Catalog) Sweep(ctx context.Context) error {
	swept, err := c.Depot.Sweep(func(id core.PackageID) (depot.Standing, error) {
		recorded, err := c.Store.HasPackage(ctx, id)
		if recorded || err != nil {
			return depot.Recorded, err
		}
		if given, err := c.Store.WasGivenOut(ctx, id); given || err != nil {
			return depot.Abandoned, err
		}
		c.Log.Warn("a package's folder is not on record, and its ID was never given out: was the database restored from a backup?",
			"folder", c.Depot.Folder(id))
		return depot.Unheard, nil
	})
	for _, name := range swept.Removed {
		c.Log.Warn("residue of an interrupted build removed", "folder", name)
	}
	for _, problem := range swept.Stuck {
		c.Log.Error("residue of an interrupted build or deletion cannot be removed; remove it by hand", "reason", problem)
	}
	return err
}

// fill writes all files of the draft.
func (c *Catalog) fill(ctx context.Context, draft *depot.Draft, id core.PackageID, order *order,
	now time.Time) (Built, error) {
	made := &order.info
	made.ID, made.Issued, made.Deployment = id, now.UTC().Truncate(time.Second), c.Deployment
	var built Built
	if order.file != nil {
		cutting, err := draft.Cut(ctx, order.file, order.size, order.fragmentSize)
		if err != nil {
			return Built{}, fmt.Errorf("build package %s: %w", id, err)
		}
		report, err := judge(ctx, draft, cutting, made)
		if err != nil {
			return Built{}, err
		}
		if name := bareName(made.Target); made.Action == core.Execute && report.Found[name] {
			order.inArchive = name
		}
		for _, warning := range report.Warnings {
			built.Warnings = append(built.Warnings, "archive: "+warning.String())
		}
		made.Archive = &info.Archive{
			Plan: cutting.Plan, MD5: cutting.MD5, Digest: cutting.Digest,
			Digests: core.DigestOf(cutting.Digests.Bytes()), Unpacked: report.Unpacked, Entries: report.Entries,
		}
	}
	if err := made.Check(); err != nil {
		return Built{}, err
	}
	canonical := made.Canonical()
	sealed, err := seal.Sign(seal.InfoType, canonical, c.Signer)
	if err != nil {
		return Built{}, fmt.Errorf("sign package %s: %w", id, err)
	}
	if err := errors.Join(draft.Write(depot.InfoFile, canonical), draft.Write(depot.SealedFile, sealed)); err != nil {
		return Built{}, fmt.Errorf("build package %s: %w", id, err)
	}
	built.Package = store.Package{
		ID: id, Name: order.name, OS: made.OS, Priority: made.Priority, Action: made.Action, Target: made.Target,
		Protocol: string(made.Protocol), Fragments: made.Fragments(), SuccessCodes: made.Codes(),
		InfoDigest: core.DigestOf(canonical), Built: made.Issued,
	}
	if made.Archive != nil {
		built.Package.ArchiveSize, built.Package.FragmentSize = order.size, order.fragmentSize
	}
	return built, nil
}

// judge reads the archive back as it was cut and refuses what agents would.
func judge(ctx context.Context, draft *depot.Draft, cutting depot.Cutting,
	made *info.Info) (archive.Report, error) {
	rules := archive.Rules{
		OS:     made.OS,
		Limits: archive.Limits{Entries: info.MaxEntries, TotalBytes: info.MaxUnpacked},
	}
	program := ""
	if made.Action == core.Launch {
		line, err := command.Parse(made.Target, made.OS)
		if err != nil {
			return archive.Report{}, fmt.Errorf("--command: %w", err) // which the form has refused
		}
		if program = line.Program(); program != "" {
			rules.Find = []string{program}
		}
	}
	if bare := bareName(made.Target); made.Action == core.Execute && made.OS == core.Linux && bare != "" {
		rules.Find = []string{bare}
	}
	reader := draft.Archive(cutting.Plan)
	report, err := archive.Check(cancellable{ctx, reader}, reader.Size(), rules)
	err = errors.Join(err, reader.Close())
	if err == nil && program != "" && !report.Found[program] {
		err = core.Refuse(core.ClassField, "--command: the archive has no file %q for LAUNCH to run", program)
	}
	return report, err
}

// A cancellable archive ends with its context.
type cancellable struct {
	ctx  context.Context
	from *depot.ArchiveReader
}

func (c cancellable) ReadAt(to []byte, offset int64) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.from.ReadAt(to, offset)
}

// publish names the folder and records the package; without record there is no folder either.
func (c *Catalog) publish(ctx context.Context, draft *depot.Draft, pkg store.Package) error {
	if err := draft.Publish(); err != nil {
		return err
	}
	if err := c.Store.AddPackage(ctx, pkg); err != nil {
		return errors.Join(err, draft.Withdraw())
	}
	c.Log.Info("package built", "package", pkg.ID, "name", pkg.Name, "bytes", pkg.ArchiveSize, "fragments",
		pkg.Fragments)
	return nil
}

// Delete forgets a package and removes its files.
func (c *Catalog) Delete(ctx context.Context, id core.PackageID) error {
	if err := c.Store.DeletePackage(ctx, id); err != nil {
		return err
	}
	return c.Depot.Remove(id)
}

// warnings say what is allowed but may not do what its administrator expects. Those about stock agents
// are given only where such agents are served. inArchive is the file of the archive that the command of an EXECUTE begins
// with, by its plain name.
func warnings(made *info.Info, inArchive string, settings setting.Effective) []string {
	var list []string
	warn := func(when bool, format string, args ...any) {
		if when {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	period := settings.Get(setting.PeriodLength)
	warn(
		made.Priority == 0,
		"priority 0: while this package is not downloaded, agents download no other; if it fails, it can stop all deployment",
	)
	warn(
		int(made.Priority) > period,
		"priority %d is above the period length %d: agents will never download this package; raise %s or lower the priority",
		made.Priority,
		period,
		setting.PeriodLength,
	)
	if settings.Get(setting.StockAgents) == 0 {
		return list
	}
	program, _, _ := strings.Cut(made.Target, " ") // as they read it
	launch := made.Action == core.Launch
	warn(launch && made.OS == core.Linux && strings.Contains(program, "-"),
		"stock Unix agents take %q up to its hyphen for the program and will answer ERR_EXECUTE; rename the file",
		program)
	warn(
		launch &&
			(strings.HasPrefix(program, ".") || strings.HasPrefix(program, "/") || strings.HasPrefix(program, `"`)),
		"stock agents run the program by its plain name; %q may not be found",
		program,
	)
	warn(inArchive != "", "stock Unix agents do not look for %q in the archive and will answer ERR_EXECUTE; write ./%[1]s",
		inArchive)
	warn(made.Action == core.Store && made.OS == core.Linux && strings.ContainsAny(made.Target, " \t"),
		"stock Unix agents split the path %q at its blanks and will answer ERR_EXECUTE", made.Target)
	warn(made.OS == core.Windows && len(made.Target) > 254,
		"stock Windows agents take at most 254 characters of a command after expansion; this one has %d",
		len(made.Target))
	warn(made.OS == core.Windows && strings.Contains(made.Notice.Text+made.Completion, `"`),
		"stock Windows agents cannot show a text with double quotes")
	warn(made.OS == core.Linux && made.Notice.Text != "",
		"stock Unix agents show no notice; the command runs at once")
	warn(made.OS == core.Linux && made.ExecTime != info.DefaultExecTime,
		"stock Unix agents have no execution timeout")
	return list
}

// bareName returns the plain name of a file with which a command for Linux begins, such as setup.sh; "" when it begins with
// a path or with what a shell reads in another way.
func bareName(line string) string {
	name, _, _ := strings.Cut(line, " ")
	if strings.ContainsAny(name, "/\\$\"'`=;&|<>()*?[]{}~#!\t") {
		return ""
	}
	return name
}
