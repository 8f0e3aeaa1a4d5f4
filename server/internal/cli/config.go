package cli

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"enjambre/core"
	"enjambre/server/internal/datafolder"
	"enjambre/server/internal/setting"
)

func (p *program) configCommand() *cobra.Command {
	return group("config", "settings of the deployment and of single computers",
		p.configList(), p.configGet(), p.configSet(), p.configUnset())
}

// computerFlag adds --computer and returns a function that reads it; "" means the deployment.
func computerFlag(command *cobra.Command) func() (core.DeviceID, error) {
	var text string
	command.Flags().StringVar(&text, "computer", "", "for this computer only (default: the deployment)")
	return func() (core.DeviceID, error) {
		if text == "" {
			return "", nil
		}
		device, err := core.ParseDeviceID(text)
		return device, usage(err)
	}
}

// A settingView is one setting as commands print it.
type settingView struct {
	setting.Definition
	Value int    `json:"value"`
	From  string `json:"from"` // computer, deployment or default
}

func viewSetting(definition setting.Definition, effective setting.Effective) settingView {
	view := settingView{Definition: definition, Value: effective.Get(definition.Name), From: "default"}
	if _, set := effective.Deployment[definition.Name]; set {
		view.From = "deployment"
	}
	if _, set := effective.Computer[definition.Name]; set {
		view.From = "computer"
	}
	return view
}

// settings reads what holds for the computer that the flag names.
func (p *program) settings(ctx context.Context, folder *datafolder.Folder,
	computer func() (core.DeviceID, error)) (setting.Effective, error) {
	device, err := computer()
	if err != nil {
		return setting.Effective{}, err
	}
	return folder.Store.Settings(ctx, device)
}

func (p *program) configList() *cobra.Command {
	var computer func() (core.DeviceID, error)
	command := p.printing("list", "list all settings and what holds", cobra.NoArgs,
		func(ctx context.Context, folder *datafolder.Folder, _ []string) error {
			effective, err := p.settings(ctx, folder, computer)
			if err != nil {
				return err
			}
			var views []settingView
			for _, definition := range setting.All() {
				views = append(views, viewSetting(definition, effective))
			}
			return p.print(map[string]any{"settings": views}, func(w *tabwriter.Writer) {
				row(w, "SETTING", "VALUE", "UNIT", "FROM", "DEFAULT", "MEANING")
				for _, view := range views {
					row(w, view.Name, view.Value, dash(view.Unit), view.From, view.Default, view.Help)
				}
			})
		})
	computer = computerFlag(command)
	return command
}

func (p *program) configGet() *cobra.Command {
	var computer func() (core.DeviceID, error)
	command := p.printing("get NAME", "print the value that holds", cobra.ExactArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			definition, err := setting.Lookup(args[0])
			if err != nil {
				return usage(err)
			}
			effective, err := p.settings(ctx, folder, computer)
			if err != nil {
				return err
			}
			view := viewSetting(definition, effective)
			return p.print(view, func(w *tabwriter.Writer) { row(w, view.Value) })
		})
	computer = computerFlag(command)
	return command
}

func (p *program) configSet() *cobra.Command {
	var computer func() (core.DeviceID, error)
	command := p.printing("set NAME VALUE", "set a value", cobra.ExactArgs(2),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			definition, err := setting.Lookup(args[0])
			if err != nil {
				return usage(err)
			}
			value, err := definition.Parse(args[1])
			if err != nil {
				return usage(err)
			}
			device, err := computer()
			if err != nil {
				return err
			}
			if device != "" && definition.DeploymentOnly {
				return usage(fmt.Errorf("%s holds for the whole deployment; leave out --computer", definition.Name))
			}
			if err := folder.Store.Set(ctx, device, definition.Name, value); err != nil {
				return err
			}
			if err := p.warnSetting(ctx, folder, definition.Name, value); err != nil {
				return err
			}
			return p.did(map[string]any{"name": definition.Name, "value": value, "computer": device},
				"%s is %d %s", definition.Name, value, forWhom(device))
		})
	computer = computerFlag(command)
	return command
}

// forWhom says for whom a setting holds.
func forWhom(device core.DeviceID) string {
	if device == "" {
		return "for the deployment"
	}
	return "for " + string(device)
}

// warnSetting says what a value does that may surprise.
func (p *program) warnSetting(ctx context.Context, folder *datafolder.Folder, name setting.Name, value int) error {
	stops := ""
	switch {
	case name == setting.PeriodLength:
		return p.warnPeriod(ctx, folder, value)
	case name == setting.Frequency && value < 0:
		stops = "no inventory is asked for and no package is given out any more: new computers stay unknown"
	case (name == setting.Download || name == setting.Switch) && value == 0:
		stops = "no package is given out or downloaded any more"
	case name == setting.StockAgents && value == 0:
		stops = "stock agents are not answered any more"
	default:
		return nil
	}
	p.warn(fmt.Sprintf("%s %d: %s; \"config unset %s\" takes it back", name, value, stops, name))
	return nil
}

// warnPeriod names the activated packages that a period of this length leaves undownloaded (T31).
func (p *program) warnPeriod(ctx context.Context, folder *datafolder.Folder, length int) error {
	packages, err := folder.Store.Packages(ctx)
	for _, one := range packages {
		if one.Activations > 0 && int(one.Priority) > length {
			p.warn(
				fmt.Sprintf(
					"package %s (%s) has priority %d, above the period length %d: agents will never download it", one.ID,
					one.Name, one.Priority, length),
			)
		}
	}
	return err
}

func (p *program) configUnset() *cobra.Command {
	var computer func() (core.DeviceID, error)
	command := p.printing("unset NAME", "take a value back, so that the next level holds", cobra.ExactArgs(1),
		func(ctx context.Context, folder *datafolder.Folder, args []string) error {
			definition, err := setting.Lookup(args[0])
			if err != nil {
				return usage(err)
			}
			device, err := computer()
			if err != nil {
				return err
			}
			was, err := folder.Store.Unset(ctx, device, definition.Name)
			if err != nil {
				return err
			}
			if !was {
				p.note("%s was not set there", definition.Name)
			}
			effective, err := folder.Store.Settings(ctx, device)
			if err != nil {
				return err
			}
			view := viewSetting(definition, effective)
			return p.did(map[string]any{"name": definition.Name, "value": view.Value, "from": view.From, "computer": device},
				"%s is %d %s, by %s", definition.Name, view.Value, forWhom(device), view.From)
		})
	computer = computerFlag(command)
	return command
}
