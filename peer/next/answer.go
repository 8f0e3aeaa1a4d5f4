package next

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"enjambre/core"
	"enjambre/peer/id"
)

// The statuses of answers.
const (
	StatusFragment = 200
	StatusComplete = 204
	StatusRefused  = 409
	StatusGone     = 410
	StatusBusy     = 503
)

// Bounds of RetryAfter and Sent, and the longest reason in bytes.
const (
	MaxSent   = 1 << 53
	MinRetry  = 100 * time.Millisecond
	MaxRetry  = 5 * time.Minute
	maxReason = 16
)

// An Answer is what a member is told. Fields that a status does not have are zero.
type Answer struct {
	Status     int                // one of the above
	Fragment   core.FragmentIndex // that the body is of, or that Holder has
	From       int64              // bytes; of a body
	Length     int64              // bytes, at least 1; of a body
	Reason     string             // a word; of a refusal
	Holder     id.Peer            // of a refusal; zero: none is named
	RetryAfter time.Duration      // whole milliseconds; of a refusal
	Sent       int64              // bytes of the package that went into the site so far; 0: it does not say
	Introduce  Introduction       // zero: to nobody
}

// An Introduction names a member to connect to: it reaches others of the site whom the asker does not reach.
type Introduction struct {
	To id.Peer
	At netip.AddrPort // where it listens; zero: the server does not know
}

// Put writes the answer's headers. RetryAfter and Sent are held to their bounds.
func (a Answer) Put(into Header) {
	if a.Sent > 0 {
		into.put(headerSent, strconv.FormatInt(min(a.Sent, MaxSent), 10))
	}
	if a.Introduce.To != (id.Peer{}) {
		into.put(headerIntroduce, a.Introduce.text())
	}
	switch a.Status {
	case StatusFragment:
		into.put(headerFragment, number(a.Fragment))
		into.put(headerFrom, strconv.FormatInt(a.From, 10))
		into.put(headerLength, strconv.FormatInt(a.Length, 10))
	case StatusRefused, StatusBusy:
		after := max(MinRetry, min(a.RetryAfter, MaxRetry))
		into.put(headerReason, a.Reason)
		into.put(headerRetry, strconv.FormatInt(after.Milliseconds(), 10))
		into.put(headerRetryAfter, strconv.FormatInt(int64((after+time.Second-1)/time.Second), 10))
		if a.Holder != (id.Peer{}) {
			into.put(headerFragment, number(a.Fragment))
			into.put(headerHolder, a.Holder.String())
		}
	}
}

// ParseAnswer reads what Put writes, for an answer of the given status. Another status is E_TYPE: whatever
// answered is no origin that grants leases, or had trouble of its own. What is missing or malformed is
// E_FIELD, E_LIMIT or E_CANON.
func ParseAnswer(status int, from Header) (Answer, error) {
	a := Answer{Status: status}
	if err := a.parseSent(from); err != nil {
		return a, err
	}
	if err := a.parseIntroduce(from); err != nil {
		return a, err
	}
	switch status {
	case StatusComplete, StatusGone:
		return a, nil
	case StatusFragment:
		return a, a.parseFragment(from)
	case StatusRefused, StatusBusy:
		return a, a.parseRefusal(from)
	}
	return Answer{}, core.Refuse(core.ClassType, "status %d is none of an origin that grants leases", status)
}

func (a *Answer) parseSent(from Header) error {
	text, err := from.get(headerSent)
	if err != nil || text == "" {
		return err
	}
	if a.Sent, err = parseNumber(text, MaxSent); err != nil {
		return in(headerSent, err)
	}
	if a.Sent == 0 {
		return core.Refuse(core.ClassCanon, "header %s of 0 is left out", headerSent)
	}
	return nil
}

func (a *Answer) parseIntroduce(from Header) error {
	text, err := from.get(headerIntroduce)
	if err != nil || text == "" {
		return err
	}
	if a.Introduce, err = parseIntroduction(text); err != nil {
		return in(headerIntroduce, err)
	}
	return nil
}

func (i Introduction) text() string {
	if !i.At.IsValid() {
		return i.To.String()
	}
	return i.To.String() + "@" + i.At.String()
}

func parseIntroduction(text string) (i Introduction, err error) {
	peer, place, hasPlace := strings.Cut(text, "@")
	if i.To, err = id.Parse(peer); err != nil || !hasPlace {
		return i, err
	}
	i.At, err = netip.ParseAddrPort(place)
	at := i.At.Addr()
	switch {
	case err != nil || at.Zone() != "" || at.IsUnspecified() || at.IsMulticast() || i.At.Port() == 0 ||
		at == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return Introduction{}, core.Refuse(core.ClassField, "%.60q is no address and port where a member is reached", place)
	case at.Is4In6() || i.At.String() != place:
		return Introduction{}, core.Refuse(core.ClassCanon, "address %.60q is not in its one form", place)
	}
	return i, nil
}

func (a *Answer) parseFragment(from Header) (err error) {
	var index int64
	for _, field := range []struct {
		name  string
		limit int64
		to    *int64
	}{
		{headerFragment, core.MaxFragments - 1, &index},
		{headerFrom, core.MaxFragmentSize - 1, &a.From},
		{headerLength, core.MaxFragmentSize, &a.Length},
	} {
		if *field.to, err = from.number(field.name, field.limit); err != nil {
			return err
		}
	}
	a.Fragment = core.FragmentIndex(index)
	if a.Length == 0 || a.From+a.Length > core.MaxFragmentSize {
		return core.Refuse(core.ClassLimit, "a body of %d bytes from byte %d on", a.Length, a.From)
	}
	return nil
}

func (a *Answer) parseRefusal(from Header) (err error) {
	if a.Reason, err = from.get(headerReason); err != nil {
		return err
	}
	if !isWord(a.Reason) {
		return core.Refuse(core.ClassField, "header %s is not a word", headerReason)
	}
	retry, err := from.number(headerRetry, MaxRetry.Milliseconds())
	if err != nil {
		return err
	}
	if a.RetryAfter = time.Duration(retry) * time.Millisecond; a.RetryAfter < MinRetry {
		return core.Refuse(core.ClassLimit, "header %s of %v, at least %v", headerRetry, a.RetryAfter, MinRetry)
	}
	holder, err := from.get(headerHolder)
	if err != nil || holder == "" {
		return err
	}
	if a.Holder, err = id.Parse(holder); err != nil {
		return in(headerHolder, err)
	}
	index, err := from.number(headerFragment, core.MaxFragments-1)
	a.Fragment = core.FragmentIndex(index)
	return err
}

// number reads a header that must be there.
func (h Header) number(name string, limit int64) (int64, error) {
	text, err := h.get(name)
	if err != nil {
		return 0, err
	}
	value, err := parseNumber(text, limit)
	if err != nil {
		return 0, in(name, err)
	}
	return value, nil
}

// isWord reports whether text is 1 to maxReason lower-case letters and '-'.
func isWord(text string) bool {
	if text == "" || len(text) > maxReason {
		return false
	}
	for i := range len(text) {
		if c := text[i]; c != '-' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
