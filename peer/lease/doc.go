// Package lease decides what the origin sends into a site, so that a package crosses the site's WAN link
// once.
//
// The origin is the one place where all requests of a site meet. A [Site] is its memory of one site: a pure
// machine that reads no clock, opens no socket and keeps no file. A shell feeds events to [Site.Step] with
// the time at which they happened, carries out the actions it returns, and calls again at [Site.NextWake].
// The same events, times and seed always give the same actions.
//
// # Leases
//
// A member asks with the fragments that it misses and no neighbour of it holds, the dearest first. The origin
// sends the first that is free and lends it: while the lease lives, nobody else in its scope gets that
// fragment.
//
//	free --Grant--> leased --acknowledged--> held       by the member that named it as verified
//	  ^                |-----broken-------> free again   error, reset, cancel
//	  |                `-----overdue------> free again   the body is reset, its slot freed, its bytes booked
//	  `--- all known holders failed the one who asks: one new lease, under the cause it named
//
// A body is overdue when nothing drained for 5 s (longer where 32 KiB need longer at its share), or when it
// has had 4 times the time it needs at its share of the measured rate, at least 10 s, at most 10 min. A body
// that ended whole must be acknowledged within 10 s of its last byte. A member is a holder only once it
// acknowledged.
//
// A complaint (a holder that could not be reached, or gave wrong bytes) never entitles to bytes: that holder
// is not named again to this asker, another is, and only after three, or when no other is known, is the
// fragment free for the asker; the new lease then binds all others.
//
// # Slots, queue, rate
//
// At most Policy.Fetchers bodies run at once in a site, one for each member, two while fewer members than
// that have a body or wait. Requests that could be served but for a slot wait: at most [MaxWaiting] of a site
// and 4 of a member, 20 s at most, the most urgent package first, then in order of arrival. A request is
// refused at once if none of its fragments is free. [Shares] divides the rate.
//
// A member gets a fragment once and twice again. What its repeats and complaints cost may be 4 fragments or
// 2 % of the package a day, whichever is more; beyond that it is last in the queue, and has an eighth of an
// equal share while a body of another wants the line. Slowness yields and costs nothing when nobody else wants the
// line; the measured rate learns nothing from bodies that yield. A complaint about a holder that has been silent for a minute is believed and costs nothing. A
// holder that more than a third of the active members, and at least two, complain of is distrusted for the
// package: it is named to nobody, and gets no lease until the others are done.
//
// # Crashes are forgiven
//
// A member that begins anew (its agent has started, or the package was assigned to it once more) says so by another
// [Start]. Its bodies are over then, and its next have digest takes back what it had been granted or had acknowledged
// and has not got any more. That is sent again under a cause of its own, restarted, and costs it nothing, up to 256
// fragments or 4 times the package a day, whichever is more: beyond that a loss is charged as any repeat. What others
// complained of while it was away is forgotten, 16 times a day, unless they were given wrong bytes.
//
// # Islands
//
// A lease binds the members of one island. All members are in the main island, until one that failed to reach
// its holders declares with whom it is in touch. An island of one is served like a stock agent: it is never
// told to wait for a lease. Islands join when a member of one declares a member of another, and after half an
// hour.
//
// # The ledger
//
// Every byte is booked. The first time that a byte of a fragment goes into the site it is first; each other
// byte has a [Cause]. So at any time
//
//	bytes sent = bytes sent for the first time + sum over causes
//
// and once a package is delivered R - 1 is that sum over the package's size, exactly. The shell appends each
// [Record] to a file, which [Site.Replay] reads after a restart. The file is a sequence of entries of
// [EntrySize] bytes, all numbers big-endian:
//
//	version    uint8     1; 2 if it is repaired, or its cause restarted
//	kind       uint8     1 sent, 2 kept, 3 withdrawn, 4 repaired
//	cause      uint8     0 none, else a Cause; of the bytes that are extra
//	flags      uint8     1 begins a lease, 2 charged to the member; sent only
//	fragment   uint32    counted from 0; not withdrawn
//	from       uint32    place of the first byte in the fragment; sent and repaired only
//	bytes      uint32    at least 1 if sent or repaired, else 0
//	extra      uint32    how many of them are not sent for the first time; at most bytes; 0 without cause
//	at         int64     Unix time in milliseconds, 0 to 1<<53
//	package    [32]byte  info digest
//	member     [32]byte  Ed25519 public key; zeros for a stock agent; zeros if withdrawn
//	check      uint32    CRC-32 (IEEE) of all before
//
// An entry that a crash tore ends the file: the shell cuts it off. What members have verified repairs what was lost
// with it: after such an end, for a day, bytes of a fragment that a member has and the ledger does not know are entered
// as repaired, sent for the first time. So R of a complete package is 1 again, and no repair takes it beyond that.
//
// # Bounds
//
// [MaxMembers] members (the one that has been silent the longest makes room), [MaxPackages] packages,
// [MaxIslands] islands of several members. A fragment takes 20 bytes, and 16 more in each further island of
// several members, once the package is asked for; a member takes 2 bits a fragment of each package that it
// asks for, and 2 more once it has begun anew.
//
// # The shell's duties
//
//  1. One goroutine owns a Site and carries out all actions of a Step before the next Step, or queues them in
//     order.
//  2. Every [MemberAsked] is answered by exactly one [Grant], [Refuse], [Gone] or [Complete], unless
//     [ClientLeft] came first. A request has a number that no other has.
//  3. A Grant's body is written in pieces of 16 KiB, with write deadlines and a small send buffer; each piece
//     that drained is a [BytesSent], and every Grant ends with one [BodyEnded], also after a [ResetBody].
//  4. After a start it reports the packages with [PackageKnown], replays the ledger, and reports [Restarted].
//  5. Whether a member is who it says, of this site and not revoked is checked before; who is not any more is reported
//     with [MemberLeft], and what it asked before that is not.
//  6. Our agents acknowledge at once what they verified, by a request that wants nothing if they pause.
//
// What members say wrongly is ignored or refused. An event that no correct shell can make panics.
package lease
