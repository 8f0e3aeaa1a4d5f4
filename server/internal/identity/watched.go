package identity

import (
	"fmt"
	"sync"
	"time"
)

// A watched is what some files of the data folder say, read again at most once a second. What goes wrong goes to report,
// once; what was known before then holds. Safe for concurrent use.
type watched[T any] struct {
	read   func(now time.Time) (T, error)
	broken string // what it means that it cannot be read
	report func(error)
	now    func() time.Time

	mu     sync.Mutex // guards what follows; held while the files are read
	value  T
	looked time.Time
	told   string // what was reported last
}

// current returns what the files say; the zero T while they never could be read.
func (w *watched[T]) current() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if now.Sub(w.looked) < lookAgain {
		return w.value
	}
	w.looked = now
	value, err := w.read(now)
	told := ""
	if err == nil {
		w.value = value
	} else if told = err.Error(); told != w.told {
		w.report(fmt.Errorf("%s: %w", w.broken, err))
	}
	w.told = told
	return w.value
}
