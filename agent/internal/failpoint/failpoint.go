// Package failpoint lets a test end the agent at a named place, as a power cut would: at once, with
// nothing tidied up.
//
// It does nothing, and costs nothing, unless the program was built with the tag "failpoint". Such a program
// kills itself at the place that the environment variable ENJAMBRE_FAILPOINT names: NAME at the first
// time it comes there, NAME:N at the N-th.
package failpoint

// Variable is the environment variable that names the place.
const Variable = "ENJAMBRE_FAILPOINT"

// ClockVariable is the environment variable that names the file of the clock.
const ClockVariable = "ENJAMBRE_CLOCK"

// A Point is a place where a test can end the program.
type Point struct {
	Name string // PACKAGE.PLACE
	Doc  string // what has happened by then, and what has not
}

// Points returns all of them. A test holds the list to the source: each is hit somewhere, no other is.
func Points() []Point {
	return []Point{
		{"daemon.after_intent", "the ledger has the intent; the job has no folder"},
		{"daemon.after_unpack", "the archive is unpacked in the job; there is no order"},
		{"daemon.after_order", "the order is on disk; no shim was started"},
		{"daemon.after_launched", "the ledger has the shim, which waits for the word to begin"},
		{"daemon.after_command", "the command has ended, as the agent has seen; the ledger does not have its result"},
		{"daemon.after_end", "the ledger has the result; the job's folder is still there, the server was not told"},
		{"execute.before_started", "the shim was told to begin; nothing says so in its folder"},
		{"execute.after_started", "that the job has begun is on disk; its command has not been started"},
		{"execute.after_command", "the command has ended; what came of it is in memory only"},
		{"execute.before_result", "the result is written beside its place, synced and not renamed"},
		{"execute.after_result", "the result is on disk; the shim has not ended"},
		{"talk.after_result", "the server has acknowledged a result; the ledger does not know that"},
		{"vault.after_data", "fragments are on the disk; nothing says so"},
		{"vault.after_have", "fragments are on the disk, and so is that they are"},
	}
}
