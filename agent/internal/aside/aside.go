// Package aside does what may never return: a question to the kernel about a disk that has stopped, to a mount whose server
// is away, to a directory service. Nothing ends such a question, not even the end of who asks; so it is put in a goroutine
// that can be left behind.
//
// What hangs does not pile up: while a question of one name hangs, it is not asked again, and at most [MaxStuck] hang at
// once.
package aside

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// MaxStuck bounds how many questions are under way at once, those that hang among them: each holds a thread.
const MaxStuck = 64

// ErrStuck says that there was no answer. The question may still be under way.
var ErrStuck = errors.New("it does not answer")

// A set is the questions under way, by name.
type set struct {
	mu    sync.Mutex
	under map[string]bool
}

// asked is the program's one set: what hangs belongs to the process and outlives who asked.
var asked = set{under: map[string]bool{}}

// begin notes a question, or says why it is not asked.
func (s *set) begin(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.under[name]:
		return fmt.Errorf("%w since it was asked before", ErrStuck)
	case len(s.under) >= MaxStuck:
		return fmt.Errorf("not asked: %d other questions hang", MaxStuck)
	}
	s.under[name] = true
	return nil
}

func (s *set) end(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.under, name)
}

// count returns how many questions are under way.
func (s *set) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.under)
}

// Do asks, and returns the answer, or when ctx ends first an [ErrStuck], and leaves the question behind. name says what is
// asked of whom; of two questions of one name at the same time the second is not asked.
func Do[T any](ctx context.Context, name string, ask func() (T, error)) (T, error) {
	var none T
	if err := asked.begin(name); err != nil {
		return none, err
	}
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() { // ends with the question, perhaps never: at most MaxStuck of them
		value, err := ask()
		asked.end(name) // before the answer: who has it may ask again
		answers <- answer{value, err}
	}()
	select {
	case got := <-answers:
		return got.value, got.err
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", ErrStuck, context.Cause(ctx))
	}
}
