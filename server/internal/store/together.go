package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// maxTogether is how many changes share one commit at most. Each is one message of an agent.
const maxTogether = 64

// A gathering lets changes that arrive together share one transaction, and so one sync of the disk, which costs more than
// the change. There is no goroutine of its own: one of those who wait carries out the changes of all.
type gathering struct {
	turn chan struct{} // is held by who carries out; one place

	mu      sync.Mutex // guards waiting; not held while anybody waits
	waiting []*joint
}

// A joint is one change that waits for others, or is carried out with them.
type joint struct {
	do   func(context.Context, *transaction) error // may be called twice, the first time without effect
	err  error
	done chan error // gets the outcome, once that is on the disk
}

// together runs do in a transaction that it may share with others, and returns when its effect is durable. If do fails,
// its effects are taken back, and those of the others stay. What has begun is not interrupted by the end of ctx, since
// that would end the transaction of all: do must be short.
func (s *Store) together(ctx context.Context, do func(context.Context, *transaction) error) error {
	one := &joint{do: do, done: make(chan error, 1)}
	s.gathering.mu.Lock()
	s.gathering.waiting = append(s.gathering.waiting, one)
	s.gathering.mu.Unlock()
	for {
		select {
		case err := <-one.done:
			return err
		case s.gathering.turn <- struct{}{}:
			s.carryOut(context.WithoutCancel(ctx), s.gathering.take())
			<-s.gathering.turn
		case <-ctx.Done():
			if s.gathering.withdraw(one) {
				return fmt.Errorf("database: %w", context.Cause(ctx))
			}
			return <-one.done
		}
	}
}

// take returns those who have waited longest.
func (g *gathering) take() []*joint {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxTogether)
	taken := g.waiting[:n:n]
	g.waiting = append([]*joint(nil), g.waiting[n:]...)
	return taken
}

// withdraw takes a change back that nobody carries out yet, and reports whether it could.
func (g *gathering) withdraw(one *joint) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, other := range g.waiting {
		if other == one {
			g.waiting = append(g.waiting[:i:i], g.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// carryOut makes changes in one transaction and tells each its outcome. If that transaction fails as a whole, each is
// tried by itself, so that the reason is told to those whose it is.
func (s *Store) carryOut(ctx context.Context, changes []*joint) {
	if len(changes) == 0 {
		return
	}
	err := s.change(ctx, func(tx *transaction) error {
		if len(changes) == 1 {
			return changes[0].do(ctx, tx)
		}
		for _, one := range changes {
			if err := one.apart(ctx, tx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, one := range changes {
		switch {
		case err == nil:
			one.done <- one.err
		case len(changes) == 1, errors.Is(err, ErrBusy): // by itself each would wait as long again
			one.done <- err
		default:
			one.done <- s.change(ctx, func(tx *transaction) error { return one.do(ctx, tx) })
		}
	}
}

// apart makes one change of several in a transaction, or none of it. Its own error is in err then; the error returned is
// the transaction's.
func (one *joint) apart(ctx context.Context, tx *transaction) error {
	if _, err := tx.ExecContext(ctx, beginOne); err != nil {
		return err
	}
	if one.err = one.do(ctx, tx); one.err != nil {
		if _, err := tx.ExecContext(ctx, undoOne); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, endOne)
	return err
}

const (
	beginOne = "SAVEPOINT one"
	undoOne  = "ROLLBACK TO one"
	endOne   = "RELEASE one"
)
