package config

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// File returns where the settings are looked for when no file is named.
func File() (string, error) { return inProgramData("agent.toml") }

// StateFolder returns where the agent keeps its state when nothing else is said.
func StateFolder() (string, error) { return inProgramData("Agent") }

func inProgramData(name string) (string, error) {
	folder, err := windows.KnownFolderPath(windows.FOLDERID_ProgramData, 0)
	if err != nil {
		return "", fmt.Errorf("the folder ProgramData: %w", err)
	}
	return filepath.Join(folder, "Enjambre", name), nil
}
