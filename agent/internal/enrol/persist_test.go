package enrol

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestPersist: a server that is away is asked again after seconds, one that refuses after an hour, and the end
// comes with the first success.
func TestPersist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away, no := errors.New("no server listens there"), fmt.Errorf("%w: the token is used up", ErrRefused)
		answers := []error{away, away, no, no, nil}
		var times []time.Time
		failures := 0
		err := Persist(t.Context(), Persistence{
			Now:      time.Now,
			Enrolled: func() (bool, error) { return false, nil },
			Attempt: func(context.Context) error {
				times = append(times, time.Now())
				return answers[len(times)-1]
			},
			Failed: func(reason error, again time.Time) {
				failures++
				if !errors.Is(reason, answers[failures-1]) || !again.After(time.Now()) {
					t.Errorf("failure %d: %v, again at %v", failures, reason, again)
				}
			},
		})
		if err != nil || len(times) != len(answers) || failures != len(answers)-1 {
			t.Fatalf("%v, %d attempts, %d failures", err, len(times), failures)
		}
		for i, want := range [][2]time.Duration{{5, 10}, {10, 20}, {3600, 4325}, {3600, 4325}} {
			if pause := times[i+1].Sub(times[i]); pause < want[0]*time.Second || pause > want[1]*time.Second {
				t.Errorf("pause %d: %v, want %v to %v seconds", i+1, pause, int(want[0]), int(want[1]))
			}
		}
	})
}

// TestPersistClockSet: a pause that a wrong clock was the reason of ends when the clock is set; that of a refusal does not.
func TestPersistClockSet(t *testing.T) {
	for _, reason := range []error{errors.New("its certificate is not valid now"), ErrRefused} {
		synctest.Test(t, func(t *testing.T) {
			began, attempts := time.Now(), 0
			err := Persist(t.Context(), Persistence{
				Now: func() time.Time {
					if time.Since(began) < 10*time.Hour+20*time.Minute { // by then it is asked once an hour
						return time.Now().AddDate(-56, 0, 0)
					}
					return time.Now()
				},
				Enrolled: func() (bool, error) { return false, nil },
				Attempt: func(context.Context) error {
					if attempts++; time.Since(began) < 10*time.Hour+20*time.Minute {
						return reason
					}
					return nil
				},
				Failed: func(error, time.Time) {},
			})
			late := time.Since(began) - (10*time.Hour + 20*time.Minute)
			if soon := late <= 2*lookEvery; err != nil || attempts < 5 || !errors.Is(reason, ErrRefused) && !soon {
				t.Errorf("%v: %v, %d attempts, enrolled %v after the clock was set", reason, err, attempts, late)
			}
		})
	}
}

// TestPersistEndsEarly: with somebody's enrolment by hand, within seconds; with the context; with a folder that
// cannot be read.
func TestPersistEndsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		refusal := func(context.Context) error { return ErrRefused }
		ignored := func(error, time.Time) {}
		err := Persist(t.Context(), Persistence{
			Now:      time.Now,
			Enrolled: func() (bool, error) { return time.Since(began) > time.Minute, nil }, Attempt: refusal, Failed: ignored,
		})
		if took := time.Since(began); err != nil || took > time.Minute+lookEvery {
			t.Errorf("by hand: %v after %v", err, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		never := func() (bool, error) { return false, nil }
		if err := Persist(ctx, Persistence{never, refusal, ignored, time.Now}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the context ended: got %v", err)
		}
		broken := errors.New("broken")
		unreadable := func() (bool, error) { return false, broken }
		if err := Persist(t.Context(), Persistence{unreadable, refusal, ignored, time.Now}); !errors.Is(err, broken) {
			t.Errorf("unreadable: got %v", err)
		}
	})
}
