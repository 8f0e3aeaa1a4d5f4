package peer

import (
	"maps"
	"slices"
	"time"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer/id"
)

// maxBanned bounds what is remembered of misbehaviour; the oldest ban makes room.
const maxBanned = 4096

func compareNeighbours(n *neighbour, peer id.Peer) int { return n.peer.Compare(peer) }

// find returns a neighbour, or nil.
func (d *Download) find(peer id.Peer) *neighbour {
	if at, found := slices.BinarySearchFunc(d.neighbours, peer, compareNeighbours); found {
		return d.neighbours[at]
	}
	return nil
}

// fetching returns the fetch of a fragment from a neighbour, or nil.
func (d *Download) fetching(peer id.Peer, index core.FragmentIndex) *fetch {
	for _, f := range d.fetches[index] {
		if f.from.peer == peer {
			return f
		}
	}
	return nil
}

func (d *Download) joined(event NeighbourJoined) {
	delete(d.meetings, event.Peer)
	if event.Peer == d.options.Self || d.find(event.Peer) != nil || len(d.neighbours) >= MaxNeighbours {
		return
	}
	held := event.Held
	if held == nil || held.Size() != d.held.Size() {
		held = fragment.NewSet(d.held.Size())
	}
	n := &neighbour{peer: event.Peer, weight: event.Weight, wants: event.Wants, held: held}
	at, _ := slices.BinarySearchFunc(d.neighbours, event.Peer, compareNeighbours)
	d.neighbours = slices.Insert(d.neighbours, at, n)
	d.share = nil
	for index := range core.FragmentIndex(held.Size()) {
		if held.Has(index) {
			d.copies[index]++
		}
	}
}

// left forgets a neighbour and what was asked of it.
func (d *Download) left(peer id.Peer) {
	n := d.find(peer)
	if n == nil {
		return
	}
	for index := range core.FragmentIndex(n.held.Size()) {
		if n.held.Has(index) {
			d.copies[index]--
		}
	}
	for index := range maps.Clone(d.fetches) {
		d.endFetch(index, n)
	}
	d.neighbours = slices.DeleteFunc(d.neighbours, func(one *neighbour) bool { return one == n })
	d.share = nil
}

// endFetch forgets a fetch, if there is such a one.
func (d *Download) endFetch(index core.FragmentIndex, from *neighbour) {
	left := slices.DeleteFunc(d.fetches[index], func(f *fetch) bool {
		if f.from == from {
			from.asks--
		}
		return f.from == from
	})
	if len(left) == 0 {
		delete(d.fetches, index)
		return
	}
	d.fetches[index] = left
}

// cancel ends every fetch of a fragment, and breaks off those that have not brought it.
func (d *Download) cancel(index core.FragmentIndex, brought id.Peer) []Action {
	var actions []Action
	for _, f := range slices.Clone(d.fetches[index]) {
		if f.from.peer != brought {
			actions = append(actions, CancelFetch{f.from.peer, index})
		}
		d.endFetch(index, f.from)
	}
	return actions
}

// has takes over what a neighbour announces or takes back.
func (d *Download) has(peer id.Peer, indexes []core.FragmentIndex, holds bool) {
	n := d.find(peer)
	if n == nil {
		return
	}
	for _, index := range indexes {
		switch {
		case int(index) >= n.held.Size():
		case holds && n.held.Add(index):
			d.copies[index]++
		case !holds && n.held.Remove(index):
			d.copies[index]--
		}
	}
}

// told takes over the holder that the origin names, which may be somebody we do not know yet.
func (d *Download) told(event OriginRefused) []Action {
	switch {
	case event.Holder == (id.Peer{}) || d.held.Has(event.Index):
		return nil
	case d.isBanned(event.Holder):
		d.complain(event.Holder, event.Index, false)
		return nil
	case d.find(event.Holder) == nil:
		return d.meet(event.Holder, event.Index)
	}
	d.has(event.Holder, []core.FragmentIndex{event.Index}, true)
	return nil
}

// meet orders to connect to a holder, unless that is under way. Its fragments are not asked for meanwhile.
func (d *Download) meet(holder id.Peer, index core.FragmentIndex) []Action {
	maps.DeleteFunc(d.meetings, func(_ id.Peer, m *meeting) bool { return !d.last.Before(m.began.Add(meetLimit)) })
	if m := d.meetings[holder]; m != nil {
		if !slices.Contains(m.indexes, index) {
			m.indexes = append(m.indexes, index)
		}
		return nil
	}
	d.meetings[holder] = &meeting{began: d.last, indexes: []core.FragmentIndex{index}}
	return []Action{Meet{holder, index}}
}

// notMet complains of a member that could not be reached, for all that it was to be met for.
func (d *Download) notMet(holder id.Peer, index core.FragmentIndex) {
	indexes := []core.FragmentIndex{index}
	if m := d.meetings[holder]; m != nil {
		indexes = m.indexes
		delete(d.meetings, holder)
	}
	for _, one := range indexes {
		if !d.held.Has(one) {
			d.complain(holder, one, false)
		}
	}
}

// isBeingMet reports whether a member that holds a fragment is being met.
func (d *Download) isBeingMet(index core.FragmentIndex) bool {
	for _, m := range d.meetings {
		if d.last.Before(m.began.Add(meetLimit)) && slices.Contains(m.indexes, index) {
			return true
		}
	}
	return false
}

func (d *Download) isBanned(peer id.Peer) bool {
	b := d.banned[peer]
	return b != nil && d.last.Before(b.until)
}

// fetchFailed looks elsewhere for a fragment that a neighbour did not give.
func (d *Download) fetchFailed(now time.Time, event FetchFailed) []Action {
	n := d.find(event.Peer)
	if n == nil || d.fetching(event.Peer, event.Index) == nil {
		return nil
	}
	d.endFetch(event.Index, n)
	switch event.Why {
	case Occupied:
		n.freeAt = now.Add(min(max(event.RetryAfter, 10*time.Millisecond), MaxBusy))
		return nil
	case Broken:
		n.freeAt = now.Add(time.Second)
		d.complain(event.Peer, event.Index, false)
		return nil
	}
	d.has(event.Peer, []core.FragmentIndex{event.Index}, false)
	d.complain(event.Peer, event.Index, event.Why == Corrupt)
	return d.banish(now, n, event.Why)
}

// complain keeps what the origin is told with the next list of wishes.
func (d *Download) complain(peer id.Peer, index core.FragmentIndex, corrupt bool) {
	if len(d.complaints) == MaxComplaints {
		d.complaints = d.complaints[1:]
	}
	d.complaints = append(d.complaints, Complaint{peer, index, corrupt})
}

// banish asks a neighbour for nothing for a while, and breaks off what was asked of it.
func (d *Download) banish(now time.Time, n *neighbour, why Failure) []Action {
	b := d.banned[n.peer]
	if b == nil {
		b = &ban{}
		d.banned[n.peer] = b
	}
	b.times++
	b.until = now.Add(firstBan)
	if b.times > 1 {
		b.until = now.Add(nextBan)
	}
	d.forgetBans()
	d.share = nil
	var actions []Action
	for _, index := range slices.Sorted(maps.Keys(d.fetches)) {
		if d.fetching(n.peer, index) != nil {
			actions = append(actions, CancelFetch{n.peer, index})
			d.endFetch(index, n)
		}
	}
	return append(actions, Report{n.peer, why, b.until})
}

// forgetBans keeps the list of bans bounded.
func (d *Download) forgetBans() {
	if len(d.banned) <= maxBanned {
		return
	}
	var oldest id.Peer
	for peer, b := range d.banned {
		first := d.banned[oldest]
		if first == nil || b.until.Before(first.until) || b.until.Equal(first.until) && peer.Compare(oldest) < 0 {
			oldest = peer
		}
	}
	delete(d.banned, oldest)
}

// stalled breaks off fetches that make no progress.
func (d *Download) stalled(now time.Time) []Action {
	var actions []Action
	for _, index := range slices.Sorted(maps.Keys(d.fetches)) {
		for _, f := range slices.Clone(d.fetches[index]) {
			if now.Before(f.moved.Add(StallTime)) || d.fetching(f.from.peer, index) == nil {
				continue
			}
			actions = append(actions, CancelFetch{f.from.peer, index})
			d.endFetch(index, f.from)
			d.complain(f.from.peer, index, false)
			actions = append(actions, d.banish(now, f.from, Broken)...)
		}
	}
	return actions
}

// halt breaks off what is under way from neighbours, or lets it begin again.
func (d *Download) halt(on bool) []Action {
	d.halted = on
	if !on {
		return nil
	}
	var actions []Action
	for _, index := range slices.Sorted(maps.Keys(d.fetches)) {
		actions = append(actions, d.cancel(index, id.Peer{})...)
	}
	return actions
}

// fetch asks neighbours for what they hold, as far as there is room.
func (d *Download) fetch(now time.Time) []Action {
	if d.halted {
		return nil
	}
	var actions []Action
	under := 0
	for _, n := range d.neighbours {
		under += n.asks
	}
	for ; under < MaxFetches; under++ {
		index, from := d.choose(now)
		if from == nil {
			break
		}
		from.asks++
		d.fetches[index] = append(d.fetches[index], &fetch{from: from, began: now, moved: now})
		actions = append(actions, FetchFromMember{from.peer, index})
	}
	return actions
}

// choose returns the rarest missing fragment that a neighbour can be asked for now, and whom to ask; nil for none.
func (d *Download) choose(now time.Time) (core.FragmentIndex, *neighbour) {
	var free []*neighbour
	for _, n := range d.neighbours {
		if n.asks < MaxAsks && !now.Before(n.freeAt) && !d.isBanned(n.peer) && n.held.Count() > 0 {
			free = append(free, n)
		}
	}
	if len(free) == 0 {
		return 0, nil
	}
	var best core.FragmentIndex
	var holder *neighbour
	for index := range d.held.Missing() {
		rarer := holder == nil || d.copies[index] < d.copies[best]
		if d.copies[index] == 0 || !rarer || d.asked[index] || len(d.fetches[index]) > 0 {
			continue
		}
		if from := d.leastBusy(free, index); from != nil {
			best, holder = index, from
		}
	}
	if holder != nil {
		return best, holder
	}
	return d.hedge(now, free)
}

// leastBusy returns the neighbour among those free that holds a fragment, does not send it yet, and is asked the
// least; chance decides among equals.
func (d *Download) leastBusy(free []*neighbour, index core.FragmentIndex) *neighbour {
	var best *neighbour
	equals := 0
	for _, n := range free {
		if !n.held.Has(index) || d.fetching(n.peer, index) != nil {
			continue
		}
		switch {
		case best == nil || n.asks < best.asks:
			best, equals = n, 1
		case n.asks == best.asks:
			if equals++; d.options.Random.IntN(equals) == 0 {
				best = n
			}
		}
	}
	return best
}

// isEnd reports whether at most one fragment in a hundred is missing, or one.
func (d *Download) isEnd() bool { return d.Missing()*hedgeShare <= max(d.Size(), hedgeShare) }

// isLate reports whether a fragment under way may be asked of a second holder, once HedgeTime has passed.
func (d *Download) isLate(index core.FragmentIndex) bool {
	return len(d.fetches[index]) == 1 && d.isEnd() && d.copies[index] > 1
}

// hedge chooses a second holder for a fragment that is late, at the end.
func (d *Download) hedge(now time.Time, free []*neighbour) (core.FragmentIndex, *neighbour) {
	if !d.isEnd() {
		return 0, nil
	}
	for index := range d.held.Missing() {
		if d.isLate(index) && !now.Before(d.fetches[index][0].began.Add(HedgeTime)) {
			if from := d.leastBusy(free, index); from != nil {
				return index, from
			}
		}
	}
	return 0, nil
}

// announce tells the neighbours what is new here.
func (d *Download) announce(now time.Time) []Action {
	if len(d.news) == 0 || now.Before(d.announceAt) {
		return nil
	}
	news := slices.Clone(d.news)
	slices.Sort(news)
	d.news = d.news[:0]
	var actions []Action
	for _, n := range d.neighbours {
		var lacks []core.FragmentIndex
		for _, index := range news {
			if n.wants && !n.held.Has(index) && d.held.Has(index) {
				lacks = append(lacks, index)
			}
		}
		if len(lacks) > 0 {
			actions = append(actions, Announce{n.peer, lacks})
		}
	}
	return actions
}
