package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/kardianos/service"
	"github.com/spf13/cobra"

	"enjambre/agent/internal/state"
)

// serviceFlags say which service is meant.
type serviceFlags struct {
	*place
	name   string
	user   bool
	system string // forced service manager; "" takes the one that runs
}

func (p *program) serviceCommand() *cobra.Command {
	return group("service", "run the agent as a service of this computer",
		p.serviceInstall(), p.serviceUnit(), p.serviceUninstall(),
		p.serviceControl("start", "start the service", service.Service.Start),
		p.serviceControl("stop", "stop the service; a package's command that runs goes on", service.Service.Stop),
		p.serviceControl("restart", "stop and start the service: it reads its settings anew", service.Service.Restart),
		p.serviceStatus())
}

func (p *program) serviceFlags(command *cobra.Command, f *serviceFlags) {
	f.place = p.place(command)
	flags := command.Flags()
	flags.StringVar(&f.name, "name", Name, "name of the service")
	flags.BoolVar(&f.user, "user", false, "a service of the current user, for trials")
	flags.StringVar(&f.system, "system", "", "service manager, such as linux-systemd (default: the one that runs)")
	p.jsonFlag(command)
}

// arguments returns the command line of the service, with absolute paths: it starts in another folder.
func (f *serviceFlags) arguments() ([]string, error) {
	file, err := f.file()
	if err != nil {
		return nil, err
	}
	args := []string{"run", "--service"}
	if file != "" {
		args = append(args, "--config", file)
	}
	if f.state != "" {
		folder, err := filepath.Abs(f.state)
		if err != nil {
			return nil, err
		}
		args = append(args, "--state", folder)
	}
	return args, nil
}

// open returns the service as the machine's service manager knows it. args are those of its program.
func (f *serviceFlags) open(args []string) (service.Service, error) {
	system := service.ChosenSystem()
	if f.system != "" {
		system = nil
		for _, available := range service.AvailableSystems() {
			if available.String() == f.system {
				system = available
			}
		}
	}
	if system == nil || runtime.GOOS == "linux" && system.String() != "linux-systemd" {
		return nil, errors.New("no supported service manager runs here (on Linux that is systemd); run \"" + Name +
			" run --service\" under the one you have, and let it restart the program when it ends")
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("the agent's own program: %w", err)
	}
	text, err := unit(self, args, f.user)
	if err != nil {
		return nil, err
	}
	return system.New(&serviceProgram{}, &service.Config{
		Name: f.name, DisplayName: "Enjambre agent", Description: "Enjambre agent: software deployment", Arguments: args,
		Option: service.KeyValue{
			"UserService": f.user, "SystemdScript": text, "OnFailure": "restart", "OnFailureDelayDuration": "5s",
			"DelayedAutoStart": true,
		},
	})
}

// mayChange refuses who cannot change the services of the machine. On Windows the system refuses.
func (f *serviceFlags) mayChange(uid int) error {
	if uid > 0 && !f.user {
		return errors.New("this needs root, since it changes the services of the computer; run it with sudo")
	}
	return nil
}

func (p *program) serviceInstall() *cobra.Command {
	var f serviceFlags
	var replace bool
	command := &cobra.Command{
		Use: "install", Short: "install the service; it starts with the computer", Args: cobra.NoArgs,
		Long: `Install the service; it starts with the computer. Its settings are those of --config or, without, of the
system's agent.toml. An agent that is not enrolled waits for its enrolment.`,
		RunE: func(*cobra.Command, []string) error {
			p.started = true
			if err := f.mayChange(os.Geteuid()); err != nil {
				return err
			}
			return p.installService(f, replace)
		},
	}
	p.serviceFlags(command, &f)
	command.Flags().BoolVar(&replace, "replace", false,
		"replace the service if it is installed; it goes on running until it is restarted")
	return command
}

func (p *program) installService(f serviceFlags, replace bool) error {
	settings, err := f.settings() // what would keep the service from working is said now
	if err != nil {
		return err
	}
	folder, err := state.Open(settings.State)
	if err != nil {
		return err
	}
	args, err := f.arguments()
	if err != nil {
		return err
	}
	made, err := f.open(args)
	if err != nil {
		return err
	}
	if replace {
		if _, err := made.Status(); !errors.Is(err, service.ErrNotInstalled) {
			if err := made.Uninstall(); err != nil {
				return fmt.Errorf("replace service %s: %w", f.name, err)
			}
		}
	}
	if err := made.Install(); err != nil {
		return fmt.Errorf("install service %s: %w; --replace replaces one that is there", f.name, err)
	}
	fmt.Fprintf(p.stderr, "%s: note: start it with \"%s service start\"\n", Name, Name)
	if _, err := folder.Identity(); errors.Is(err, state.ErrNotEnrolled) {
		fmt.Fprintf(p.stderr, "%s: note: this agent is not enrolled yet\n", Name)
	}
	return p.did(map[string]any{"service": f.name, "state": settings.State}, "service %s is installed", f.name)
}

func (p *program) serviceUnit() *cobra.Command {
	var f serviceFlags
	var self string
	command := &cobra.Command{
		Use: "unit", Short: "print the systemd unit that \"service install\" would write", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p.started = true
			args, err := f.arguments()
			if err == nil && self == "" {
				self, err = os.Executable()
			}
			if err != nil {
				return err
			}
			text, err := unit(self, args, f.user)
			if err != nil {
				return err
			}
			return p.text("unit", text)
		},
	}
	p.serviceFlags(command, &f)
	command.Flags().StringVar(&self, "program", "",
		"where the program lies when the unit is used (default: where it lies now)")
	return command
}

func (p *program) serviceUninstall() *cobra.Command {
	return p.serviceControl("uninstall", "stop and remove the service; the state folder stays",
		func(known service.Service) error {
			if status, err := known.Status(); err == nil && status == service.StatusRunning {
				if err := known.Stop(); err != nil {
					return err
				}
			}
			return known.Uninstall()
		})
}

func (p *program) serviceControl(verb, short string, do func(service.Service) error) *cobra.Command {
	var f serviceFlags
	command := &cobra.Command{
		Use: verb, Short: short, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p.started = true
			if err := f.mayChange(os.Geteuid()); err != nil {
				return err
			}
			known, err := f.open(nil)
			if err != nil {
				return err
			}
			if err := do(known); err != nil {
				return fmt.Errorf("%s service %s: %w", verb, f.name, err)
			}
			return p.did(map[string]any{"service": f.name, "done": verb}, "%s service %s: done", verb, f.name)
		},
	}
	p.serviceFlags(command, &f)
	return command
}

func (p *program) serviceStatus() *cobra.Command {
	var f serviceFlags
	command := &cobra.Command{
		Use: "status", Short: "say whether the service is installed and runs", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p.started = true
			known, err := f.open(nil)
			if err != nil {
				return err
			}
			status, err := known.Status()
			text := "unknown"
			switch {
			case errors.Is(err, service.ErrNotInstalled):
				text = "not installed"
			case err != nil:
				text = "failed"
			case status == service.StatusRunning:
				text = "running"
			case status == service.StatusStopped:
				text = "stopped"
			}
			return p.print(map[string]any{"service": f.name, "status": text},
				func(w io.Writer) { fmt.Fprintln(w, text) })
		},
	}
	p.serviceFlags(command, &f)
	return command
}

// A serviceProgram runs the agent under a manager that starts and stops it by calls, as Windows does.
type serviceProgram struct {
	run    func(context.Context) error
	cancel context.CancelFunc
	ended  chan error
}

// Start begins the run and returns at once.
func (s *serviceProgram) Start(service.Service) error {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.ended = cancel, make(chan error, 1)
	go func() {
		err := s.run(ctx)
		s.ended <- err
		if err != nil && ctx.Err() == nil {
			os.Exit(1) // so that the manager restarts it
		}
	}()
	return nil
}

// Stop ends the run and waits for it.
func (s *serviceProgram) Stop(service.Service) error {
	s.cancel()
	return <-s.ended
}
