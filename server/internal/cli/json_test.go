package cli

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// eachCommand visits every command that does something, as the program has them.
func eachCommand(t *testing.T, visit func(path string, command *cobra.Command)) {
	t.Helper()
	p := &program{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, now: time.Now}
	visited := 0
	var walk func(command *cobra.Command)
	walk = func(command *cobra.Command) {
		if command.Runnable() && !command.FParseErrWhitelist.UnknownFlags { // which groups have
			visited++
			visit(pathOf(command), command)
		}
		for _, sub := range command.Commands() {
			walk(sub)
		}
	}
	walk(p.command())
	if visited < 40 {
		t.Errorf("%d commands were visited", visited)
	}
}

// TestJSONEverywhere: whatever does something prints JSON when it is asked to; what only has commands below it does
// nothing.
func TestJSONEverywhere(t *testing.T) {
	eachCommand(t, func(path string, command *cobra.Command) {
		if command.Flags().Lookup("json") == nil {
			t.Errorf("%q has no --json", path)
		}
		if command.Short == "" {
			t.Errorf("%q has no help", path)
		}
	})
}

func TestSamePlace(t *testing.T) {
	for pair, want := range map[[2]string]bool{
		{":443", ":443"}: true, {":443", ":80"}: false, {":0", ":0"}: false, {"", ""}: false, {":443", ""}: false,
		{"0.0.0.0:443", "192.0.2.1:443"}: true, {"192.0.2.1:443", "192.0.2.2:443"}: false, {"[::]:8443", "x:08443"}: true,
		{"a:443", "A:443"}: true, {"[::1]:80", "[::1]:80"}: true, {"x", "x"}: false,
	} {
		if got := samePlace(pair[0], pair[1]); got != want {
			t.Errorf("%v: got %v", pair, got)
		}
	}
}
