package main

import (
	"strings"
	"testing"
)

// good is a view in which all went well.
func good() view {
	return view{
		sites: []siteView{
			{name: "lyon", rate: 6_000_000, agents: 4, members: 4, neighbours: 12,
				whole: 5_000_000, origin: 5_000_000, held: 20_000_000},
			{name: "oslo", rate: 4_000_000, agents: 3, members: 3, neighbours: 6,
				whole: 5_000_000, origin: 5_012_345, held: 15_000_000,
				extra: map[string]int64{"timeout": 2345, "owner-lost": 10_000}},
		},
		packages: []packageView{
			{name: "command", id: 1764000000, computers: 8, succeeded: 8, results: map[string]int{"SUCCESS": 8}},
			{name: "files", id: 1764000001, computers: 8, succeeded: 8, results: map[string]int{"SUCCESS": 8}},
		},
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*view)
		want   string // of what is wrong
		json   string
	}{
		{"good", func(*view) {}, "",
			`{"sites":[{"name":"lyon","members":4,"copies":1},{"name":"oslo","members":3,"copies":1.002}],"ok":true}`},
		{"a second copy", func(v *view) { v.sites[1].origin = 10_000_000 },
			"site oslo: R is 2.000, not 1 to 1.05; twice went: owner-lost 10000 bytes, timeout 2345 bytes",
			`{"sites":[{"name":"lyon","members":4,"copies":1},{"name":"oslo","members":3,"copies":2}],"ok":false}`},
		{"at the bound", func(v *view) { v.sites[1].origin = 5_250_000 }, "",
			`{"sites":[{"name":"lyon","members":4,"copies":1},{"name":"oslo","members":3,"copies":1.05}],"ok":true}`},
		{"above the bound by a byte", func(v *view) { v.sites[1].origin = 5_250_001 }, "site oslo: R is 1.050",
			`{"sites":[{"name":"lyon","members":4,"copies":1},{"name":"oslo","members":3,"copies":1.05}],"ok":false}`},
		{"less than a copy", func(v *view) { v.sites[0].origin-- }, "site lyon: R is 1.000, not 1 to 1.05",
			`{"sites":[{"name":"lyon","members":4,"copies":1},{"name":"oslo","members":3,"copies":1.002}],"ok":false}`},
		{"nothing to send", func(v *view) { v.sites[0].whole, v.sites[0].origin = 0, 0 }, "site lyon: R is 0.000",
			`{"sites":[{"name":"lyon","members":4,"copies":0},{"name":"oslo","members":3,"copies":1.002}],"ok":false}`},
		{"an agent alone", func(v *view) { v.sites[0].members = 3 }, "site lyon: 3 of 4 agents are in its swarm",
			`{"sites":[{"name":"lyon","members":3,"copies":1},{"name":"oslo","members":3,"copies":1.002}],"ok":false}`},
		{"a failure", func(v *view) {
			v.packages[1].succeeded, v.packages[1].results = 7, map[string]int{"SUCCESS": 7, "ERR_BUILD": 1}
		}, "package 1764000001 (files) succeeded on 7 of 8 computers: map[ERR_BUILD:1 SUCCESS:7]",
			`{"sites":[{"name":"lyon","members":4,"copies":1},{"name":"oslo","members":3,"copies":1.002}],"ok":false}`},
		{"a computer that was not affected", func(v *view) { v.packages[0].computers, v.packages[0].succeeded = 7, 7 },
			"package 1764000000 (command) succeeded on 7 of 8 computers",
			`{"sites":[{"name":"lyon","members":4,"copies":1},{"name":"oslo","members":3,"copies":1.002}],"ok":false}`},
		{"nothing deployed", func(v *view) { v.packages = nil }, "no package was deployed",
			`{"sites":[{"name":"lyon","members":4,"copies":1},{"name":"oslo","members":3,"copies":1.002}],"ok":false}`},
		{"nothing at all", func(v *view) { *v = view{} }, "no package was deployed", `{"sites":[],"ok":false}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := good()
			c.change(&v)
			result, wrong := judge(v, 8)
			if got := strings.Join(wrong, "\n"); !strings.HasPrefix(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("wrong is %q, want %q", got, c.want)
			}
			if got, err := result.line(); err != nil || got != c.json {
				t.Errorf("got %s, want %s; %v", got, c.json, err)
			}
		})
	}
}

func TestOver(t *testing.T) {
	for _, c := range []struct {
		name             string
		change           func(*view)
		results, settled bool
	}{
		{"all there", func(*view) {}, true, true},
		{"one waits", func(v *view) { v.packages[0].waiting, v.packages[0].succeeded = 1, 7 }, false, true},
		{"one works", func(v *view) { v.packages[0].notified, v.packages[0].succeeded = 1, 7 }, false, true},
		{"nobody affected yet", func(v *view) { v.packages[0] = packageView{} }, false, true},
		{"not shown yet", func(v *view) { v.sites[0].held-- }, true, false},
		{"one failed", func(v *view) { v.sites[0].held, v.packages[1].succeeded = 10_000_000, 7 }, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := good()
			c.change(&v)
			if results, settled := v.hasResults(), v.isSettled(); results != c.results || settled != c.settled {
				t.Errorf("got %v, %v", results, settled)
			}
		})
	}
}

func TestIsFormed(t *testing.T) {
	for _, c := range []struct {
		agents, members, neighbours int
		want                        bool
	}{
		{4, 4, 12, true}, {4, 4, 11, false}, {4, 3, 12, false}, {1, 1, 0, true}, {2, 2, 1, false}, {2, 2, 2, true},
	} {
		if got := (siteView{agents: c.agents, members: c.members, neighbours: c.neighbours}).isFormed(); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}

func TestStates(t *testing.T) {
	for _, c := range []struct {
		of   packageView
		want string
	}{
		{packageView{computers: 11, waiting: 11}, "of 11: 11 waiting"},
		{packageView{computers: 11, waiting: 1, notified: 6, downloading: 3, installing: 2, succeeded: 3},
			"of 11: 1 waiting, 1 notified, 3 downloading, 2 installing, 3 succeeded, 1 failed"},
		{packageView{computers: 11, succeeded: 11}, "of 11: 11 succeeded"},
	} {
		if got := c.of.states(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
