// Package cycle decides when an agent may ask the origin for a fragment and when it may run a package.
//
// It is the schedule of Teledeploy's manual as a pure machine: a shell feeds events to [Schedule.Step]
// with the time at which they happened, carries out the actions it returns, and calls again at
// [Schedule.NextWake]. The agent runs one shell on real time, the simulator another on virtual time. The
// same events and times always give the same actions. T25 to T32 are our labels for the manual's rules;
// the tests are named after them.
//
// # Cycles
//
// A period has PeriodLength cycles, numbered from 1 (T25, T26). A cycle is its work and then a pause (T28):
// its work ends when every turn that may ask is complete or has failed in its opening; for CycleLatency after
// that, and PeriodLatency more after the last cycle of a period, the origin is asked for nothing; then the
// next cycle begins. So larger latencies mean less bandwidth (T31). A cycle with nothing to ask for ends as
// it begins. With latencies of 0, as at PACE=rate, there is no pause, but [MinCycle] after a failure, so that
// a dead origin is not asked in a loop.
//
// A package that can never be had holds no cycle for ever: none waits for one of which [MaxFailures]
// fragments have failed in a row, or whose asks were postponed for [MaxIdle], until a fragment arrives.
//
// What comes in a pause waits for the next cycle, but priority 0, which asks at once and prolongs the pause
// by as long as it takes, and what needs nothing from the origin. Where the origin has not been asked in a
// cycle there is nothing to pause for: a package that comes belongs to that cycle, as to one at work.
// Members' fragments and serving never pause.
//
// The first package begins cycle 1, and the clock stops when none is left (T29). Switching off stops it too,
// and it then starts again at cycle 1, as an agent does that was started anew.
//
// The clock may jump. After a jump forward in a pause all cycles with nothing to do are over, by arithmetic
// and not by a loop. After a jump backward everything goes on as if no time had passed. Only Timeout believes
// a jump forward, so the shell should hand in a time that it trusts.
//
// # Turns
//
// A package's turn opens in each cycle that its priority divides (T26) and stays open until all its
// fragments are there and it has run, or until each fragment still missing has failed at the origin in
// this opening. With FragsPerTurn it closes after so many fragments from the origin, arrived or failed. A
// closed turn opens again in the next cycle that the priority divides. A package whose priority exceeds
// PeriodLength never opens (T31), which [Options.NeverOpens] says beforehand.
//
// An open turn is a permission, judged anew at every fragment: whenever the origin is free, no pause is on and
// FragLatency has passed since it last answered, with a fragment or a failure, for any package, the most
// urgent package (by priority, then ID) with an open turn and fragments wanting may ask for one of them.
// At PACE=rate the shell sets all three latencies to 0. What arrives from members needs no turn, causes no
// latency and is taken at any time.
//
// A failing package blocks nobody (T26): with a failed fragment it goes behind all packages that have not
// failed, and behind those that failed before it. It regains its place with a fragment of its own from
// the origin or, in a cycle its priority divides, if any package has had one since.
//
// # Priority 0
//
// Priority 0 opens in every cycle and at once when it is added (T30). While the download of any package of
// priority 0 is unfinished, no other package asks the origin and no other package runs: the manual
// says that the agent then works "without looking at others" and that this "can stop distribution
// completely". Members' fragments keep arriving for all. A priority 0 whose turn has closed because
// everything failed keeps blocking until its next opening, after the pause; one that is complete, runs,
// or whose command failed blocks nothing. FragsPerTurn does not bind it: it would only idle the site.
//
// # What is not known yet
//
// The server says which packages there are, and how urgent they are, before their info files are had. An
// unjudged package keeps all that is less urgent from asking and running until it is known what it is; then
// order is as above. One whose info file cannot be had for now is a failing package: it blocks nobody, unless
// it is of priority 0. The events of one Step are taken in together, so that packages of one list are all known
// before one of them asks or runs.
//
// # Running
//
// A complete package runs while its turn is open, the most urgent first, one at a time (T27). The opening
// that completed it counts, so that no further cycle is spent, unless FragsPerTurn closed it. A package
// that members completed outside its turn waits for the turn; only priority 0 waits for none. Downloads go
// on while a package runs.
//
// # The end
//
// A package that has not ended Timeout after its first notification expires (T32), except while it runs.
//
// # The shell's duties
//
//  1. One goroutine owns a Schedule. It carries out all actions of a Step before the next Step, or queues
//     them in order.
//  2. Each [AskOrigin] is answered by exactly one of [FragmentArrived] with FromOrigin, [FragmentFailed],
//     [TurnFailed] or [AskPostponed]. What never answers is given up by the shell, which reports it.
//  3. For an AskOrigin it does not choose a fragment for which [Schedule.HasFailed].
//  4. Each [Run] is answered by exactly one of [RunFinished], [RunPostponed] or [RunsHeld], even if the package
//     was withdrawn meanwhile.
//  5. When a package is withdrawn, expires or has its result, its open asks end without a report.
//
// Events about packages that the Schedule does not know are ignored, since they can cross a withdrawal.
// An event that no correct shell can make (a run finished that was not ordered, a number out of bounds)
// panics with the state in the message.
package cycle
