//go:build !linux

package notify

import (
	"context"
	"fmt"
	"runtime"
)

// A Finder finds the session that somebody sits at. On this system it finds none.
type Finder struct{ AnyUser bool }

// Active finds nothing.
func (Finder) Active(context.Context) (Session, bool, error) { return Session{}, false, nil }

func run(context.Context, Session, string, []string) (said, error) {
	return said{}, fmt.Errorf("%w: nothing is known that shows windows on %s", ErrNoDialog, runtime.GOOS)
}
