package cli

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestJSONEverywhere: whatever does something prints JSON when it is asked to; what only has commands below it does
// nothing, what the agent itself starts speaks to no one, and the service, which is "run", prints nothing.
func TestJSONEverywhere(t *testing.T) {
	p := &program{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
	visited := 0
	var walk func(command *cobra.Command)
	walk = func(command *cobra.Command) {
		isGroup := command.FParseErrWhitelist.UnknownFlags
		if command.Runnable() && !isGroup && !command.Hidden && command.Name() != "run" {
			visited++
			if command.Flags().Lookup("json") == nil {
				t.Errorf("%q has no --json", pathOf(command))
			}
		}
		for _, sub := range command.Commands() {
			walk(sub)
		}
	}
	walk(p.command())
	if visited < 14 {
		t.Errorf("%d commands were visited", visited)
	}
}
