// Package outcome knows the states of an affectation and every result text that agents send.
//
// An affectation begins as [Waiting], becomes [Notified] when the computer has been told, and ends in
// one of the final states when a result arrives. Agents report texts, of which stock agents have
// more than thirty; [Judge] says which state each means, and [Next] what becomes of an affectation
// when a result arrives, be it late, repeated or stripped of its exit code.
package outcome

import (
	"slices"
	"strconv"
	"strings"

	"enjambre/core"
)

// A State is where an affectation is in its life.
type State string

// The states, as Teledeploy's manual names them (T34 to T46).
const (
	Waiting      State = "WAITING_NOTIFICATION" // the server waits for the agent to call
	Notified     State = "NOTIFIED"             // told; waiting for a result
	Success      State = "SUCCESS"              // command launched or data stored
	AlreadySetup State = "ERR_ALREADY_SETUP"    // was installed before on this computer
	BadID        State = "ERR_BAD_ID"           // the package is not on the server
	BadDigest    State = "ERR_BAD_DIGEST"       // downloaded data has a bad digest; nothing was run
	DownloadPack State = "ERR_DOWNLOAD_PACK"    // the archive could not be uncompressed
	Build        State = "ERR_BUILD"            // the archive could not be rebuilt from fragments
	Execute      State = "ERR_EXECUTE"          // the command could not be run, or failed
	Clean        State = "ERR_CLEAN"            // the agent could not clean up
	Timeout      State = "ERR_TIMEOUT"          // not complete within TIMEOUT days
	Aborted      State = "ERR_ABORTED"          // the user cancelled
	ExecutePack  State = "ERR_EXECUTE_PACK"     // sent by nobody, accepted
)

// states are all of them, in the order in which people are shown them.
var states = []State{Waiting, Notified, Success, AlreadySetup, BadID, BadDigest, DownloadPack, Build,
	Execute, Clean, Timeout, Aborted, ExecutePack}

// States returns all states, in the order in which people are shown them.
func States() []State { return slices.Clone(states) }

// Final reports whether a result has arrived.
func (s State) Final() bool { return s != Waiting && s != Notified }

// Succeeded reports whether the package is on the computer; "already set up" counts.
func (s State) Succeeded() bool { return s == Success || s == AlreadySetup }

// Failed reports whether the result is an error.
func (s State) Failed() bool { return s.Final() && !s.Succeeded() }

// AlreadyInHistory is the text the server itself gives to an affectation of a package that the
// computer's history has.
const AlreadyInHistory = "SUCCESS_ALREADY_IN_HISTORY"

// stateOf are the texts that mean a state whatever the package says. Windows agents have finer texts
// than the manual; the text stays beside the state.
var stateOf = map[string]State{
	"SUCCESS":                  Success,
	"SUCCESS_":                 Success, // repeated after a failed delivery: the exit code is lost
	"SUCCESS_ALREADY_SETUP":    AlreadySetup,
	AlreadyInHistory:           AlreadySetup,
	"ERR_DOWNLOAD_INFO":        BadID, // the Unix agent's text when the info file cannot be had
	"ERR_UNZIP":                DownloadPack,
	"ERR_OUT_OF_SPACE":         Build,
	"ERR_EXECUTE_NO_EXIT_CODE": Execute,
	"ERR_EXECUTE_TIMEOUT":      Execute,
	"ERR_EXECUTE_TOO_MANY_TRY": Execute,
	"ERR_BAD_PARAM":            Execute,
	"ERR_DONE_FAILED":          Execute, // the agent lost its own note of the result
	"UNKNOWN_CODE":             Execute,
}

// rebootCode are the exit codes that Windows agents report by name.
var rebootCode = map[string]int{
	"SUCCESS_REBOOT_INITIATED": 1641,
	"SUCCESS_REBOOT_REQUIRED":  3010,
	"SUCCESS_RESTART_REQUIRED": 3011,
}

// Judge returns the final state that a result text means for a package with these success codes.
// LAUNCH reports its exit code, on Unix as SUCCESS_n whatever n is, on Windows as EXIT_CODE_n: a code
// that is not among the package's counts as an error. A text that nobody documented counts as
// ERR_EXECUTE unless it begins with SUCCESS.
func Judge(text string, codes SuccessCodes) State {
	if state, known := stateOf[text]; known {
		return state
	}
	if state := State(text); state.Final() && slices.Contains(states, state) {
		return state
	}
	if code, coded := ExitCode(text); coded {
		if codes.Contain(code) {
			return Success
		}
		return Execute
	}
	if strings.HasPrefix(text, "SUCCESS") {
		return Success
	}
	return Execute
}

// ExitCode returns the exit code that a result text carries, if it does.
func ExitCode(text string) (int, bool) {
	if code, named := rebootCode[text]; named {
		return code, true
	}
	for _, prefix := range []string{"SUCCESS_", "EXIT_CODE_", "CODE_", "CODE"} {
		if digits, found := strings.CutPrefix(text, prefix); found {
			code, err := strconv.ParseInt(digits, 10, 33) // Windows codes are 32 bits, signed or not
			return int(code), err == nil
		}
	}
	return 0, false
}

// A Record is what is kept of one affectation's outcome.
type Record struct {
	State State
	Text  string // the agent's own words; "" before the first result
}

// Next returns the record after an agent reported text. Once a package has succeeded, it has: the
// repetitions that stock agents send (SUCCESS_ without its code, SUCCESS_ALREADY_SETUP at each
// contact) and stray errors change nothing. An error is replaced by whatever comes later, and so is the
// server's own conclusion from the computer's history: the agent knows better.
func Next(record Record, text string, codes SuccessCodes) Record {
	if record.State.Succeeded() && record.Text != AlreadyInHistory {
		return record
	}
	return Record{State: Judge(text, codes), Text: text}
}

// SuccessCodes are the exit codes with which a package's command has succeeded, ascending and unique;
// nil means the defaults of the package's operating system.
type SuccessCodes []int

// MaxSuccessCodes is how many codes a package may list.
const MaxSuccessCodes = 64

// DefaultSuccessCodes returns 0 and, for Windows, the installer's three ways of asking for a restart.
func DefaultSuccessCodes(os core.OS) SuccessCodes {
	if os == core.Windows {
		return SuccessCodes{0, 1641, 3010, 3011}
	}
	return SuccessCodes{0}
}

// ParseSuccessCodes reads codes separated by commas, such as "0,3010": each from -2147483648 to
// 4294967295, in any order, at most MaxSuccessCodes.
func ParseSuccessCodes(text string) (SuccessCodes, error) {
	var codes SuccessCodes
	for _, one := range strings.Split(text, ",") {
		code, err := strconv.ParseInt(strings.TrimSpace(one), 10, 64)
		if err != nil || code < -1<<31 || code > 1<<32-1 {
			return nil, core.Refuse(core.ClassField,
				"success code %q is not an exit code; use numbers such as 0,3010", one)
		}
		codes = append(codes, int(code))
	}
	slices.Sort(codes)
	codes = slices.Compact(codes)
	if len(codes) > MaxSuccessCodes {
		return nil, core.Refuse(core.ClassLimit, "%d success codes: at most %d are allowed", len(codes),
			MaxSuccessCodes)
	}
	return codes, nil
}

// String returns the codes separated by commas, as ParseSuccessCodes reads them.
func (c SuccessCodes) String() string {
	texts := make([]string, len(c))
	for i, code := range c {
		texts[i] = strconv.Itoa(code)
	}
	return strings.Join(texts, ",")
}

// Contain reports whether code is a success. Windows shows one 32-bit code signed and unsigned; both
// readings are the same code.
func (c SuccessCodes) Contain(code int) bool {
	return slices.ContainsFunc(c, func(one int) bool { return uint32(one) == uint32(code) })
}
