package cli

import (
	_ "embed"
	"fmt"
	"strings"
)

// unitText is the systemd unit, with places for the command and the target. The service library's own text waits
// two minutes before a restart and ends package commands with the agent.
//
//go:embed unit.service
var unitText string

// unit returns the systemd unit that runs a program with arguments.
func unit(program string, args []string, user bool) (string, error) {
	words := make([]string, 0, len(args)+1)
	for i, word := range append([]string{program}, args...) {
		if strings.ContainsFunc(word, func(r rune) bool { return r < ' ' }) || strings.Contains(word, "{{") {
			return "", fmt.Errorf("%q cannot stand in a unit; use another path", word)
		}
		words = append(words, quoteUnit(word, i > 0))
	}
	target := "multi-user.target"
	if user {
		target = "default.target"
	}
	return strings.NewReplacer("@COMMAND@", strings.Join(words, " "), "@TARGET@", target).Replace(unitText), nil
}

// quoteUnit quotes a word of ExecStart. In all but the first, systemd replaces variables.
func quoteUnit(word string, variables bool) string {
	pairs := []string{`\`, `\\`, `"`, `\"`, `%`, `%%`}
	if variables {
		pairs = append(pairs, `$`, `$$`)
	}
	return `"` + strings.NewReplacer(pairs...).Replace(word) + `"`
}
