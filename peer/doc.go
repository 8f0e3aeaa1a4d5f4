// Package peer decides how a package's fragments spread among the agents of a site.
//
// It decides and does nothing else: it opens no socket, reads no clock, starts no goroutine. A shell feeds events
// to [Download.Step] with the time at which they happened, carries out the actions it returns, and calls again at
// [Download.NextWake]. The same events, times and seed always give the same actions.
//
// # Where a fragment comes from
//
// A fragment that a neighbour holds is asked of a neighbour, at any time; only what none of them holds is asked of the
// origin, when the schedule (core/cycle) allows it. An agent without neighbours is a swarm of one: all comes from the
// origin.
//
// Of the neighbours' fragments the rarest is fetched first, from the holder that is asked the least, at most [MaxAsks]
// of one neighbour and [MaxFetches] in all. A neighbour that is busy says for how long. One that sends wrong bytes,
// does not have what it announced, or makes no progress for [StallTime], while this agent was awake, is banned: 1 h, then 24 h. At the end, when
// at most one fragment in a hundred is missing and all of them are under way, a fragment that is late is asked of a
// second holder too, never of the origin.
//
// To an origin that grants leases goes a list of wishes (peer/owner): what this member owns by rendezvous hashing, then
// the rest; the origin chooses. Some lists may be under way at once ([Download.AsksAtOnce]), so that a line with a long
// round trip is never idle. With each go the fragments verified since the last list, and the holders that failed. To
// any other origin goes the one fragment whose last failure there is the oldest, the first of the archive among those
// that never failed: so within one opening of the package's turn none is asked for twice before all others were.
//
// An origin that has lent what is wished for names a holder; whoever is no neighbour yet is met for it. Whether the
// origin grants leases may change at any time: what is held, asked and known of neighbours stays.
//
// A member of weight 0 asks the origin for itself only after [PatientTime] without a new fragment.
//
// What the origin has sent is announced at once, since nobody else has it, and so is all at the end: the last fragments
// would otherwise come from their first holders alone, whose slots are few. What members have sent before is announced
// every [AnnounceEvery]; all to neighbours that lack it.
package peer
