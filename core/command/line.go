package execute

import (
	"path"
	"strings"

	"enjambre/core"
)

// Program returns the file of the archive that a LAUNCH command line names, slash-separated and relative, for
// whoever unpacks the archive. It is "" when the line names none, or one that depends on a variable.
func Program(target string, os core.OS) string {
	words, err := splitWords(target, os)
	if err != nil || len(words) == 0 {
		return ""
	}
	var name strings.Builder
	for _, piece := range words[0] {
		if !piece.literal && strings.ContainsAny(piece.text, "$%") {
			return ""
		}
		name.WriteString(piece.text)
	}
	slashed := name.String()
	if os == core.Windows {
		slashed = strings.ReplaceAll(slashed, `\`, "/")
	}
	return path.Clean(slashed)
}
