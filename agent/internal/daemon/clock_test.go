package daemon

import (
	"log/slog"
	"testing"
	"time"

	"enjambre/agent/internal/state"
)

// A fakeTime is a computer's clock, which is set, and its steady one, which is not.
type fakeTime struct {
	wall   time.Time
	steady time.Duration
}

func (f *fakeTime) pass(d time.Duration) { f.wall, f.steady = f.wall.Add(d), f.steady+d }

// start makes the clock of an agent that starts now.
func (f *fakeTime) start(t *testing.T, folder *state.Folder) *clock {
	t.Helper()
	return newClockOf(folder, slog.New(slog.DiscardHandler), func() time.Time { return f.wall },
		func() time.Duration { return f.steady })
}

// TestClockWithoutBattery: an agent that starts in 1970, or years ahead, uses the right time as soon as the computer has
// it; and the server's, once that has told it, whatever becomes of the computer's.
func TestClockWithoutBattery(t *testing.T) {
	right := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	for _, wrong := range []time.Time{time.Unix(30, 0), right.AddDate(6, 0, 0), right.AddDate(150, 0, 0)} {
		folder, err := state.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		f := &fakeTime{wall: wrong, steady: time.Hour}
		c := f.start(t, folder)
		f.pass(time.Minute)
		if got := c.now(); !got.Equal(wrong.Add(time.Minute)) || c.wasSet() || c.isTold() {
			t.Errorf("before it is set: %v, set %v, told %v", got, c.wasSet(), c.isTold())
		}
		f.wall = right
		if !c.wasSet() || c.wasSet() {
			t.Error("that it was set is not noticed once")
		}
		if got := c.now(); !got.Equal(right) {
			t.Errorf("after it was set: %v", got)
		}
		f.pass(time.Hour)
		theirs := right.Add(2 * time.Hour)
		if err := c.learn(theirs); err != nil {
			t.Fatal(err)
		}
		f.wall = wrong
		f.pass(time.Hour)
		if got := c.now(); !got.Equal(theirs.Add(time.Hour)) || c.wasSet() || !c.isTold() {
			t.Errorf("after the server has told it: %v", got)
		}
		again := f.start(t, folder) // and the battery is empty
		if got := again.now(); got.Before(theirs) || again.isTold() {
			t.Errorf("after another start: %v, told %v", got, again.isTold())
		}
	}
}

// TestFloorAhead: a server whose clock was ahead once does not keep its agents in the future for ever.
func TestFloorAhead(t *testing.T) {
	folder, err := state.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	right := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	f := &fakeTime{wall: right}
	c := f.start(t, folder)
	for _, told := range []time.Time{right.AddDate(0, 2, 0), right} {
		if err := c.learn(told); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.start(t, folder).now(); !got.Equal(right) {
		t.Errorf("after another start: %v", got)
	}
}
