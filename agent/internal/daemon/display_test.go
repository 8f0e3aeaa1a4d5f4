package daemon

import (
	"testing"
	"time"
)

// TestLastContact: an agent that is started and reaches nobody shows when it was answered last, unless it is another
// computer's now.
func TestLastContact(t *testing.T) {
	d := newDaemon(t)
	d.show()
	if got := d.shown.status.LastContact; !got.IsZero() {
		t.Errorf("of an agent that never was answered: got %v", got)
	}
	then := time.Unix(1_800_000_000, 0).UTC()
	d.shown.contact(then, nil)
	d.publish()

	again := &daemon{options: d.options, known: d.known, clock: d.clock, plan: d.plan}
	if got := again.lastContact(); !got.Equal(then) {
		t.Errorf("after a restart: got %v, want %v", got, then)
	}
	again.known.Device = "other-2026-01-01-00-00-00"
	if got := again.lastContact(); !got.IsZero() {
		t.Errorf("of another computer: got %v", got)
	}
}
