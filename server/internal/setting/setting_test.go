package setting

import (
	"strings"
	"testing"
	"time"

	"enjambre/core"
)

func TestPrecedence(t *testing.T) {
	effective := Effective{
		Computer:   Values{CycleLatency: 0, Switch: 1},
		Deployment: Values{CycleLatency: 5, FragLatency: 0, PeriodLength: 3},
	}
	for name, want := range map[Name]int{CycleLatency: 0, FragLatency: 0, PeriodLength: 3, Timeout: 30, PrologFreq: 24} {
		if got := effective.Get(name); got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
	conf := effective.Conf()
	if !conf.On || conf.PeriodLength != 3 || conf.CycleLatency != 0 || conf.TimeoutDays != 30 ||
		conf.ExecutionTimeout != 2*time.Hour {
		t.Errorf("got %+v", conf)
	}
	effective.Computer[Switch] = 0
	if effective.Conf().On {
		t.Error("a computer that is switched off is given packages")
	}
}

func TestDefinitions(t *testing.T) {
	for _, definition := range All() {
		if definition.Default < definition.Min || definition.Default > definition.Max || definition.Help == "" {
			t.Errorf("%+v", definition)
		}
		found, err := Lookup(strings.ToLower(string(definition.Name)))
		if err != nil || found.Name != definition.Name {
			t.Errorf("%s: got %v, %v", definition.Name, found, err)
		}
	}
	if _, err := Lookup("DOWNLOAD_CICLE_LATENCY"); core.ClassOf(err) != core.ClassField {
		t.Errorf("unknown name: got %v", err)
	}
	latency, _ := Lookup(string(CycleLatency))
	for text, class := range map[string]core.Class{"0": "", "60": "", "-1": core.ClassLimit, "1.5": core.ClassLimit, "": core.ClassLimit, "9999999": core.ClassLimit} {
		if _, err := latency.Parse(text); core.ClassOf(err) != class {
			t.Errorf("%q: got %v, want %q", text, err, class)
		}
	}
}

func TestInventoryDue(t *testing.T) {
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		days int
		last time.Time
		want bool
	}{
		{0, now, true}, {-1, time.Time{}, false}, {1, time.Time{}, true},
		{1, now.Add(-23 * time.Hour), false}, {1, now.Add(-25 * time.Hour), true},
	} {
		effective := Effective{Deployment: Values{Frequency: c.days}}
		if got := effective.InventoryDue(c.last, now); got != c.want {
			t.Errorf("every %d days, last %v: got %v", c.days, c.last, got)
		}
	}
}
