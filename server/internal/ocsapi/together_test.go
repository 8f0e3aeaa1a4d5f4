package ocsapi

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"enjambre/core"
	"enjambre/core/ocs"
)

// TestTogether: messages that are decoded at once do not get into each other's hands.
func TestTogether(t *testing.T) {
	l := newLab(t)
	go func() {
		for range l.touches { //nolint:revive // nobody wants them
		}
	}()
	deviceOf := func(i int) core.DeviceID { return core.DeviceID(fmt.Sprintf("pc%d-2026-01-31-08-00-00", i)) }
	var all sync.WaitGroup
	for i := range 2 * maxBusy {
		all.Go(func() {
			name := fmt.Sprintf("NAME-OF-%d", i)
			document := ocs.Inventory{Sections: []ocs.Section{{Name: "HARDWARE",
				Fields: []ocs.Field{{Name: "NAME", Value: name}}}}}.Append(nil, deviceOf(i))
			for range 3 {
				for _, message := range [][]byte{document, ocs.AppendProlog(nil, deviceOf(i))} {
					if got := l.post(ocs.Encode(message), unixAgent); got.Code != http.StatusOK {
						t.Errorf("got %d", got.Code)
					}
				}
			}
		})
	}
	all.Wait()
	close(l.touches)
	for i := range 2 * maxBusy {
		view, err := l.store.Computer(t.Context(), deviceOf(i))
		check(t, err)
		if want := fmt.Sprintf("NAME-OF-%d", i); view.Name != want {
			t.Errorf("got %q, want %q", view.Name, want)
		}
	}
}
