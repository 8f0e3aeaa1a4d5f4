package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"enjambre/agent/internal/config"
	"enjambre/agent/internal/state"
)

// A place is where a command finds the agent: the flags --config and --state.
type place struct{ config, state string }

// place adds the flags of commands that are about an agent of this computer.
func (p *program) place(command *cobra.Command) *place {
	var l place
	command.Flags().StringVar(&l.config, "config", "",
		"file of settings (default: the system's agent.toml, if it is there)")
	command.Flags().StringVar(&l.state, "state", "", "state folder (default: what the settings say)")
	return &l
}

// file returns the absolute name of the file of settings, "" when there is none.
func (l *place) file() (string, error) {
	if l.config != "" {
		return filepath.Abs(l.config)
	}
	name, err := config.File()
	if err != nil {
		return "", err
	}
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return name, nil
}

// settings reads the file of settings, if there is one. State is the state folder, absolute.
func (l *place) settings() (config.Config, error) {
	name, err := l.file()
	if err != nil {
		return config.Config{}, err
	}
	settings := config.Default()
	if name != "" {
		if settings, err = config.Load(name); err != nil {
			return config.Config{}, err
		}
	}
	if l.state != "" {
		settings.State = l.state
	}
	folder, err := settings.Folder()
	if err == nil {
		settings.State, err = filepath.Abs(folder)
	}
	if err != nil {
		return config.Config{}, fmt.Errorf("state folder: %w", err)
	}
	return settings, nil
}

// find opens the state folder if it is there.
func (l *place) find() (*state.Folder, error) {
	settings, err := l.settings()
	if err != nil {
		return nil, err
	}
	return state.Find(settings.State)
}

func (p *program) configCommand() *cobra.Command {
	example := &cobra.Command{
		Use: "example", Short: "print a file of settings that explains them all", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p.started = true
			return p.text("settings", config.Example)
		},
	}
	p.jsonFlag(example)
	return group("config", "settings of the agent", p.configCheck(), example)
}

// text prints a text as it is, or as JSON under a name.
func (p *program) text(name, text string) error {
	if p.json {
		return p.print(map[string]any{name: text}, nil)
	}
	_, err := io.WriteString(p.stdout, text)
	return err
}

func (p *program) configCheck() *cobra.Command {
	var where *place
	command := &cobra.Command{
		Use: "check", Short: "read the settings and report every mistake", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p.started = true
			name, err := where.file()
			if err != nil {
				return err
			}
			settings, err := where.settings()
			if err != nil {
				return err
			}
			found := map[string]any{"file": name, "state": settings.State, "good": true}
			if name == "" {
				name = "no file of settings"
			}
			return p.did(found, "%s: good; the state folder is %s", name, settings.State)
		},
	}
	where = p.place(command)
	p.jsonFlag(command)
	return command
}
