package store

import (
	"fmt"
	"testing"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/core/outcome"
)

// TestRolloutComputers is T47: the computers behind a number, page by page.
func TestRolloutComputers(t *testing.T) {
	f := newFixture(t)
	var devices []core.DeviceID
	for i := range 5 {
		devices = append(devices, f.computer(fmt.Sprint("pc", i)))
	}
	agent := f.enrolled("pc9")
	id := f.affected(append(devices, agent.Device)...)
	f.affected(devices...) // another package's rows are not listed
	for _, device := range devices {
		f.check(f.SaveResult(f.ctx(), Stock(device), ocs.Result{Package: id, Text: "ERR_EXECUTE", Exit: "3", Detail: "d", Output: "o"}, now))
	}
	f.calls(agent)
	f.tells(agent, ocs.PackageProgress{Package: id, Phase: ocs.Downloading, Have: 1, Of: 2, Problem: "origin: 503"})
	page := func(state outcome.State, after core.DeviceID, most int) RolloutPage {
		t.Helper()
		page, err := f.RolloutComputers(f.ctx(), RolloutQuery{Package: id, State: state, After: after, Most: most})
		f.check(err)
		return page
	}
	var seen []core.DeviceID
	for after, pages := core.DeviceID(""), 1; ; pages++ {
		one := page(outcome.Execute, after, 2)
		for _, computer := range one.Computers {
			seen = append(seen, computer.Device)
			f.want("a row", []any{computer.Name != "", computer.Text, computer.Exit, computer.Detail, computer.Output,
				computer.Ended.Equal(now), computer.Progress == nil}, "[true ERR_EXECUTE 3 d o true true]")
		}
		if after = one.Next; after == "" {
			f.want("pages", pages, 3)
			break
		}
	}
	f.want("computers", seen, devices)
	if one := page(outcome.Execute, "", 5); one.Next != "" || len(one.Computers) != 5 {
		t.Errorf("a page that is just full: got %d, next %q", len(one.Computers), one.Next)
	}
	if one := page(outcome.Notified, "", MaxPage+1); len(one.Computers) != 1 ||
		one.Computers[0].Progress.Problem != "origin: 503" {
		t.Errorf("NOTIFIED: got %+v", one)
	}
	f.want("nobody", len(page(outcome.Timeout, "", 1).Computers), 0)
	_, err := f.RolloutComputers(f.ctx(), RolloutQuery{Package: 1, State: outcome.Execute, Most: 1})
	wantIs(t, err, ErrUnknownPackage)
}
