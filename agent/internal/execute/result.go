package execute

import (
	"fmt"
	"os"
	"strings"

	"enjambre/core"
	"enjambre/core/outcome"
)

// A Result is what came of a job.
type Result struct {
	// Text is what is reported. LAUNCH: SUCCESS_n with the exit code, whatever it is, since the server
	// judges it as it does a stock agent's. EXECUTE and STORE: SUCCESS. ERR_EXECUTE when the command
	// could not be started, was ended by a signal or by its time limit, when EXECUTE's code is not a
	// success, and when STORE could not place all files.
	Text string `json:"text"`

	Exit      *int       `json:"exit,omitempty"`   // exit code; nil if there is none
	Class     core.Class `json:"class,omitempty"`  // of a failure, as far as it has one
	Detail    string     `json:"detail,omitempty"` // of a failure, for people
	Output    string     `json:"output,omitempty"` // the end of the output, at most MaxOutput bytes of UTF-8
	Installed bool       `json:"installed"`        // it counts as installed on this computer
}

// failed is the result of a job whose command did not run, or not to its end.
func failed(err error) Result {
	return Result{
		Text: string(outcome.Execute), Class: core.ClassOf(err),
		Detail: strings.ToValidUTF8(err.Error(), "\uFFFD"),
	}
}

// judge makes a result of how a command ended.
func judge(order Order, state *os.ProcessState) Result {
	if signal, killed := deathSignal(state); killed {
		return failed(core.Refuse(core.ClassExec, "the command was ended by signal %d (%v)", int(signal), signal))
	}
	code := state.ExitCode()
	result := Result{Text: string(outcome.Success), Exit: &code, Installed: order.Codes.Contain(code)}
	if !result.Installed {
		result.Detail = fmt.Sprintf("exit code %d is not among the success codes (%s)", code, order.Codes)
	}
	switch {
	case order.Action == core.Launch:
		result.Text = fmt.Sprintf("SUCCESS_%d", code)
	case !result.Installed:
		result.Text = string(outcome.Execute)
		if hint := shellHint[code]; hint != "" && order.OS == core.Linux {
			result.Detail += ": " + hint
		}
	}
	return result
}

// shellHint says what a shell means by its own exit codes.
var shellHint = map[int]string{
	126: "the shell could not run the program",
	127: "the shell did not find the program",
}
