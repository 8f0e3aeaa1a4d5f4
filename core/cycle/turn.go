package cycle

import (
	"cmp"
	"math"
	"math/bits"
	"time"

	"enjambre/core"
)

// A turn is what the Schedule knows of one package.
type turn struct {
	id         core.PackageID
	priority   core.Priority
	missing    int
	notifiedAt time.Time
	asked      int // asks that are open

	unjudged bool // only the priority is known
	tried    bool // and its info file could not be had

	open     bool
	answered int    // origin fragments in this opening, arrived or failed
	failed   idxSet // what failed at the origin in this opening
	behind   uint64 // which failure of the Schedule put it behind the others; 0 for none

	askAfter, runAfter time.Time // as postponed

	failures  int       // in a row, in this opening and in the cycles since that its priority divides
	idleSince time.Time // when an ask was first postponed since a fragment arrived or the turn opened; else zero
}

// compareTurns orders by urgency.
func compareTurns(a, b *turn) int {
	return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.id, b.id))
}

// begin opens the turn.
func (t *turn) begin() {
	t.open = true
	t.answered = 0
	t.failed.clear()
	t.progress()
}

// hopeless reports whether nothing has come of asking so often, or for so long, that no cycle waits for the package any
// more.
func (t *turn) hopeless(now time.Time) bool {
	return t.failures >= MaxFailures || !t.idleSince.IsZero() && !now.Before(t.idleSince.Add(MaxIdle))
}

// progress notes that a fragment was had.
func (t *turn) progress() { t.failures, t.idleSince = 0, time.Time{} }

// blocks reports whether nobody else may ask or run because of this package.
func (t *turn) blocks() bool { return t.priority == 0 && (t.missing > 0 || t.unjudged) }

// isAwaited reports whether nothing less urgent may ask or run before the info file is there.
func (t *turn) isAwaited(options Options) bool {
	return t.unjudged && !t.tried && !options.NeverOpens(t.priority)
}

// limit is how many origin fragments the package may have in one opening.
func (t *turn) limit(options Options) int {
	if options.FragsPerTurn == 0 || t.priority == 0 {
		return math.MaxInt
	}
	return options.FragsPerTurn
}

// wants reports whether the package has a fragment to ask for in this opening.
func (t *turn) wants(options Options) bool {
	return t.open && t.missing > t.failed.size+t.asked && t.answered+t.asked < t.limit(options)
}

// spent reports whether this opening has nothing more to give.
func (t *turn) spent(options Options) bool {
	allFailed := t.missing > 0 && t.failed.size >= t.missing
	return allFailed || t.answered >= t.limit(options) || options.NeverOpens(t.priority)
}

// An idxSet is a set of fragments: at most core.MaxFragments bits, grown as needed.
type idxSet struct {
	words []uint64
	size  int
}

// add reports whether the index is new.
func (s *idxSet) add(index core.FragmentIndex) bool {
	word, bit := int(index/64), uint64(1)<<(index%64)
	if word >= len(s.words) {
		s.words = append(s.words, make([]uint64, word+1-len(s.words))...)
	}
	if s.words[word]&bit != 0 {
		return false
	}
	s.words[word] |= bit
	s.size++
	return true
}

func (s *idxSet) remove(index core.FragmentIndex) {
	if word := int(index / 64); word < len(s.words) {
		bit := uint64(1) << (index % 64)
		s.size -= bits.OnesCount64(s.words[word] & bit)
		s.words[word] &^= bit
	}
}

func (s *idxSet) has(index core.FragmentIndex) bool {
	word := int(index / 64)
	return word < len(s.words) && s.words[word]&(1<<(index%64)) != 0
}

// clear lets the memory go: failures are rare, and packages wait long.
func (s *idxSet) clear() { *s = idxSet{} }
