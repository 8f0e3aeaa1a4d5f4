package aside

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestStuck: who asks goes on when there is no answer, asks not a second time while the first question hangs, and again
// once that has come back.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		ask := func(name string, hangs bool) (int, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return Do(ctx, name, func() (int, error) {
				if hangs {
					<-gate
				}
				return 7, nil
			})
		}
		for range 3 {
			if _, err := ask("a disk", true); !errors.Is(err, ErrStuck) {
				t.Errorf("got %v", err)
			}
		}
		if got := asked.count(); got != 1 {
			t.Errorf("%d questions hang", got)
		}
		if got, err := ask("another", false); got != 7 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
		for i := range 2 * MaxStuck {
			if _, err := ask(fmt.Sprint(i), true); err == nil {
				t.Error("an answer where there is none")
			}
		}
		if got := asked.count(); got != MaxStuck {
			t.Errorf("%d questions hang", got)
		}
		close(gate)
		synctest.Wait()
		if got, err := ask("a disk", false); got != 7 || err != nil || asked.count() != 0 {
			t.Errorf("after it has come back: %d, %v, %d hang", got, err, asked.count())
		}
	})
}
