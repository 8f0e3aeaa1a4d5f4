package cli

import (
	"runtime/debug"
	"strings"
)

// version says which source the program was built from, as far as the build knew.
func version() string {
	build, known := debug.ReadBuildInfo()
	if !known {
		return "unknown"
	}
	text := build.Main.Version + " " + build.GoVersion
	for _, setting := range build.Settings {
		if setting.Key == "vcs.revision" {
			text += " " + setting.Value
		}
	}
	return strings.TrimSpace(text)
}
