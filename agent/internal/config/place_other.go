//go:build !linux && !windows

package config

// File returns where the settings are looked for when no file is named.
func File() (string, error) { return "/Library/Application Support/Enjambre/agent.toml", nil }

// StateFolder returns where the agent keeps its state when nothing else is said.
func StateFolder() (string, error) { return "/Library/Application Support/Enjambre Agent", nil }
