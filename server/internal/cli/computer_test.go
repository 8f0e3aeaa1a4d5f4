package cli

import (
	"testing"

	"enjambre/core/ocs"
	"enjambre/server/internal/store"
)

func TestProgressText(t *testing.T) {
	for want, progress := range map[string]store.Progress{
		"downloading 120 of 400 fragments; last problem: origin: 503 again": {
			Phase: ocs.Downloading, Have: 120, Of: 400, Problem: "origin: 503\n\tagain"},
		"delayed by the user": {Phase: ocs.Delayed, Have: 4, Of: 4},
		"installing":          {Phase: ocs.Installing, Have: 4, Of: 4},
	} {
		if got := progressText(progress); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
