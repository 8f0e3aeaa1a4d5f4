package config

// File returns where the settings are looked for when no file is named.
func File() (string, error) { return "/etc/enjambre/agent.toml", nil }

// StateFolder returns where the agent keeps its state when nothing else is said.
func StateFolder() (string, error) { return "/var/lib/enjambre-agent", nil }
