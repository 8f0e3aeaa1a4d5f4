package next

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"enjambre/core"
	"enjambre/peer/id"
	"enjambre/peer/owner"
)

// maxHave is the size of the bitmap of the largest package, in bytes.
const maxHave = core.MaxFragments / 8

const originHolder = "origin"

// The words of complaints.
const (
	wordCorrupt = "corrupt"
	wordLost    = "lost"
)

// bitmaps is the spelling of Have.
var bitmaps = base64.RawURLEncoding.Strict()

// Put writes the request into a header. It refuses what ParseRequest would not read, with the same class:
// E_LIMIT if there is too much to say in one request.
func (r Request) Put(into Header) error {
	texts := Header{}
	texts.put(headerWeight, strconv.Itoa(int(r.Weight)))
	texts.put(headerWant, joined(r.Want, number))
	texts.put(headerAcknowledged, ranges(r.Acknowledged))
	texts.put(headerFailed, joined(r.Failed, Complaint.text))
	if r.Resume.From != 0 {
		texts.put(headerResume, number(r.Resume.Fragment)+":"+strconv.FormatInt(r.Resume.From, 10))
	}
	texts.put(headerHave, bitmaps.EncodeToString(r.Have))
	if r.Start != 0 {
		texts.put(headerStart, strconv.FormatUint(r.Start, 10))
	}
	if r.CutOff {
		texts.put(headerIsland, island(r.Reached))
	}
	if _, err := ParseRequest(texts); err != nil {
		return err
	}
	for name, values := range texts {
		into[name] = values
	}
	return nil
}

// ParseRequest reads what Put writes; other headers may stand beside. It refuses what is missing or malformed
// (E_FIELD), what is beyond its bound (E_LIMIT), and other spellings (E_CANON).
func ParseRequest(from Header) (r Request, err error) {
	texts, size := map[string]string{}, 0
	for _, name := range []string{
		headerWeight, headerWant, headerAcknowledged, headerFailed, headerResume, headerHave, headerStart,
		headerIsland,
	} {
		if texts[name], err = from.get(name); err != nil {
			return Request{}, err
		}
		size += len(texts[name])
	}
	if size > MaxText {
		return Request{}, core.Refuse(core.ClassLimit, "request of %d bytes, at most %d: say the rest later", size,
			MaxText)
	}
	weight, err := parseNumber(texts[headerWeight], 255)
	if err != nil {
		return Request{}, in(headerWeight, err)
	}
	if r.Weight, err = owner.ParseWeight(uint8(weight)); err != nil {
		return Request{}, in(headerWeight, err)
	}
	if r.Want, err = parseWant(texts[headerWant]); err != nil {
		return Request{}, in(headerWant, err)
	}
	if r.Acknowledged, err = parseRanges(texts[headerAcknowledged]); err != nil {
		return Request{}, in(headerAcknowledged, err)
	}
	if r.Failed, err = parseFailed(texts[headerFailed]); err != nil {
		return Request{}, in(headerFailed, err)
	}
	if r.Resume, err = parseResume(texts[headerResume]); err != nil {
		return Request{}, in(headerResume, err)
	}
	if r.Have, err = parseHave(texts[headerHave]); err != nil {
		return Request{}, in(headerHave, err)
	}
	if r.Start, err = parseStart(texts[headerStart]); err != nil {
		return Request{}, in(headerStart, err)
	}
	r.CutOff = texts[headerIsland] != ""
	if r.Reached, err = parseIsland(texts[headerIsland]); err != nil {
		return Request{}, in(headerIsland, err)
	}
	if r.Have != nil && r.Acknowledged != nil {
		return Request{}, core.Refuse(core.ClassCanon, "%s stands beside %s, which says more", headerAcknowledged,
			headerHave)
	}
	return r, nil
}

func number(index core.FragmentIndex) string { return strconv.FormatUint(uint64(index), 10) }

func (c Complaint) text() string {
	holder, why := originHolder, wordLost
	if c.Holder != (id.Peer{}) {
		holder = c.Holder.String()
	}
	if c.Corrupt {
		why = wordCorrupt
	}
	return number(c.Fragment) + ":" + holder + ":" + why
}

// alone is an island of nobody else.
const alone = "alone"

func island(reached []id.Peer) string {
	if len(reached) == 0 {
		return alone
	}
	return joined(reached, id.Peer.String)
}

func parseIsland(text string) ([]id.Peer, error) {
	if text == alone {
		return nil, nil
	}
	items, err := split(text, MaxReached)
	if err != nil {
		return nil, err
	}
	var reached []id.Peer
	for i, item := range items {
		one, err := id.Parse(item)
		if err != nil {
			return nil, err
		}
		if i > 0 && reached[i-1].Compare(one) >= 0 {
			return nil, core.Refuse(core.ClassCanon, "%s does not come after %s", one, reached[i-1])
		}
		reached = append(reached, one)
	}
	return reached, nil
}

func joined[T any](list []T, text func(T) string) string {
	var b strings.Builder
	for i, item := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(text(item))
	}
	return b.String()
}

// ranges spells ascending indexes.
func ranges(list []core.FragmentIndex) string {
	var spans []string
	for start := 0; start < len(list); {
		end := start
		for end+1 < len(list) && list[end+1] == list[end]+1 {
			end++
		}
		span := number(list[start])
		if end > start {
			span += "-" + number(list[end])
		}
		spans, start = append(spans, span), end+1
	}
	return strings.Join(spans, ",")
}

// split cuts a list of at most so many items; none for no text.
func split(text string, limit int) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	if count := strings.Count(text, ",") + 1; count > limit {
		return nil, core.Refuse(core.ClassLimit, "%d items, at most %d", count, limit)
	}
	return strings.Split(text, ","), nil
}

func parseWant(text string) (want []core.FragmentIndex, err error) {
	items, err := split(text, MaxWant)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		index, err := parseIndex(item)
		if err != nil {
			return nil, err
		}
		if slices.Contains(want, index) {
			return nil, core.Refuse(core.ClassCanon, "fragment %d stands twice", index)
		}
		want = append(want, index)
	}
	return want, nil
}

func parseRanges(text string) (list []core.FragmentIndex, err error) {
	items, err := split(text, MaxAcknowledged)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		low, high, isRange := strings.Cut(item, "-")
		first, err := parseIndex(low)
		if err != nil {
			return nil, err
		}
		last := first
		if isRange {
			if last, err = parseIndex(high); err != nil {
				return nil, err
			}
		}
		if isRange && last <= first || len(list) > 0 && first <= list[len(list)-1]+1 {
			return nil, core.Refuse(core.ClassCanon, "range %s does not ascend, or touches the one before", item)
		}
		if count := len(list) + int(last-first) + 1; count > MaxAcknowledged {
			return nil, core.Refuse(core.ClassLimit, "%d fragments, at most %d", count, MaxAcknowledged)
		}
		for index := first; index <= last; index++ {
			list = append(list, index)
		}
	}
	return list, nil
}

func parseFailed(text string) (list []Complaint, err error) {
	items, err := split(text, MaxFailed)
	if err != nil {
		return nil, err
	}
	for _, item := range items {
		parts := strings.Split(item, ":")
		if len(parts) != 3 {
			return nil, core.Refuse(core.ClassField, "complaint of %d parts, want FRAGMENT:HOLDER:REASON", len(parts))
		}
		var c Complaint
		if c.Fragment, err = parseIndex(parts[0]); err != nil {
			return nil, err
		}
		c.Corrupt = parts[2] == wordCorrupt
		if !c.Corrupt && (parts[2] != wordLost || parts[1] == originHolder) {
			return nil, core.Refuse(core.ClassField, "complaint that says %q of %q", parts[2], parts[1])
		}
		if parts[1] != originHolder {
			if c.Holder, err = id.Parse(parts[1]); err != nil {
				return nil, err
			}
		}
		list = append(list, c)
	}
	return list, nil
}

func parseResume(text string) (r Resume, err error) {
	if text == "" {
		return Resume{}, nil
	}
	index, from, _ := strings.Cut(text, ":")
	if r.Fragment, err = parseIndex(index); err != nil {
		return Resume{}, err
	}
	if r.From, err = parseNumber(from, core.MaxFragmentSize-1); err != nil {
		return Resume{}, err
	}
	if r.From == 0 {
		return Resume{}, core.Refuse(core.ClassCanon, "to resume at byte 0 is to begin")
	}
	return r, nil
}

func parseStart(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	start, err := parseNumber(text, MaxStart)
	if err == nil && start == 0 {
		return 0, core.Refuse(core.ClassCanon, "a start of 0 is left out")
	}
	return uint64(start), err
}

func parseHave(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > bitmaps.EncodedLen(maxHave) {
		return nil, core.Refuse(core.ClassLimit, "bitmap of %d characters", len(text))
	}
	if strings.ContainsAny(text, "\r\n") { // which the decoder would skip
		return nil, core.Refuse(core.ClassCanon, "bitmap of several lines")
	}
	have, err := bitmaps.DecodeString(text)
	if err != nil {
		return nil, core.Refuse(core.ClassField, "bitmap is not base64url: %v", err)
	}
	return have, nil
}

func parseIndex(text string) (core.FragmentIndex, error) {
	index, err := parseNumber(text, core.MaxFragments-1)
	return core.FragmentIndex(index), err
}

// parseNumber reads a decimal number from 0 to limit in its one spelling.
func parseNumber(text string, limit int64) (int64, error) {
	value, err := strconv.ParseUint(text, 10, 63)
	switch {
	case err != nil && len(text) < 19:
		return 0, core.Refuse(core.ClassField, "%q is not a decimal number", text)
	case err != nil || int64(value) > limit:
		return 0, core.Refuse(core.ClassLimit, "number of %d digits, at most %d", len(text), limit)
	case strconv.FormatUint(value, 10) != text:
		return 0, core.Refuse(core.ClassCanon, "%q has a leading zero", text)
	}
	return int64(value), nil
}

// put sets a value, if there is one.
func (h Header) put(name, text string) {
	if text != "" {
		h[name] = []string{text}
	}
}

// get returns the value of a header, "" if it is not there.
func (h Header) get(name string) (string, error) {
	values, there := h[name]
	switch {
	case !there:
		return "", nil
	case len(values) != 1:
		return "", core.Refuse(core.ClassCanon, "header %s stands %d times", name, len(values))
	case values[0] == "":
		return "", core.Refuse(core.ClassCanon, "header %s is empty", name)
	}
	return values[0], nil
}

// in says which header a refusal is about.
func in(name string, err error) error {
	return core.Refuse(core.ClassOf(err), "header %s: %v", name, err)
}
