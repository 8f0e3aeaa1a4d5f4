package cli

import (
	"context"
	"fmt"
	"time"

	"enjambre/core"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/query"
	"enjambre/server/internal/setting"
	"enjambre/server/internal/store"
)

// noteDoubts says which values of a query no computer has, and what was perhaps meant: a query that is misspelt finds
// nothing and is no mistake. A look that fails is no reason to do nothing.
func (p *program) noteDoubts(ctx context.Context, folder *datafolder.Folder, expr query.Expr) {
	if expr == nil {
		return
	}
	doubts, err := query.Doubts(expr, func(field query.Field) ([]string, error) {
		return folder.Store.Values(ctx, field)
	})
	if err != nil {
		p.warn(fmt.Sprintf("the query's values could not be compared with those there are: %v", err))
	}
	for _, doubt := range doubts {
		p.note("%s", doubt)
	}
}

// warnNeverDue warns of a package that the period's length keeps from ever being downloaded.
func (p *program) warnNeverDue(ctx context.Context, folder *datafolder.Folder, pkg store.Package) error {
	settings, err := folder.Store.Settings(ctx, "")
	if err != nil {
		return err
	}
	if length := settings.Get(setting.PeriodLength); int(pkg.Priority) > length {
		p.warn(fmt.Sprintf("package %s has priority %d, above DOWNLOAD_PERIOD_LENGTH %d: agents will never download it; raise that "+
			"with \"config set\", or build the package with another priority", pkg.ID, pkg.Priority, length))
	}
	return nil
}

// noteExpected says when computers may be expected to have what they are given, by the deployment's settings.
func (p *program) noteExpected(ctx context.Context, folder *datafolder.Folder, target store.Target) error {
	if target.Activation != 0 {
		activation, err := folder.Store.Activation(ctx, target.Activation)
		if err != nil {
			return err
		}
		target.Package = activation.Package
	}
	pkg, err := folder.Store.Package(ctx, target.Package)
	if err != nil {
		return err
	}
	settings, err := folder.Store.Settings(ctx, "")
	if err != nil {
		return err
	}
	if int(pkg.Priority) > settings.Get(setting.PeriodLength) {
		return p.warnNeverDue(ctx, folder, pkg)
	}
	for _, text := range expected(pkg, settings) {
		p.note("%s", text)
	}
	return nil
}

// expected says what time a package takes at the least, from the settings: when it is heard of, when its turn comes, and
// the pauses between its fragments.
func expected(pkg store.Package, settings setting.Effective) (texts []string) {
	seconds := func(name setting.Name) time.Duration { return time.Duration(settings.Get(name)) * time.Second }
	hear := fmt.Sprintf("enrolled agents hear of it within %s", core.DurationText(seconds(setting.ContactSeconds)))
	if settings.Get(setting.StockAgents) == 1 {
		hear += fmt.Sprintf(", stock agents within %s (PROLOG_FREQ)",
			core.DurationText(time.Duration(settings.Get(setting.PrologFreq))*time.Hour))
	}
	texts = append(texts, hear)
	wait := time.Duration(max(0, int(pkg.Priority)-1)) * seconds(setting.CycleLatency)
	between := time.Duration(pkg.Fragments) * seconds(setting.FragLatency)
	if wait+between == 0 {
		return texts
	}
	text := fmt.Sprintf("from then on it takes at least %s", core.DurationText(wait+between))
	if wait > 0 {
		text += fmt.Sprintf(": priority %d waits for cycle %d, with DOWNLOAD_CYCLE_LATENCY %s before each", pkg.Priority,
			pkg.Priority, core.DurationText(seconds(setting.CycleLatency)))
	}
	if between > 0 {
		text += fmt.Sprintf("; DOWNLOAD_FRAG_LATENCY %s follows each of %s", core.DurationText(seconds(setting.FragLatency)),
			core.Count(pkg.Fragments, "fragment"))
	}
	return append(texts, text+". Several packages wait for each other")
}
