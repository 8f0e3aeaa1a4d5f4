package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"text/tabwriter"

	"github.com/kardianos/service"
	"github.com/spf13/cobra"

	"enjambre/server/internal/datafolder"
)

// serviceFlags say which service is meant.
type serviceFlags struct {
	name   string
	user   bool
	system string // forced service manager; "" takes the one that runs
	data   string
	args   []string // for "run"; install only
	owner  string   // the user that the service runs as; install only
}

// systemdUnit is our own text, since the library's waits two minutes before a restart and confines
// nothing. The server needs its data folder and ports, and nothing else of the machine.
const systemdUnit = `[Unit]
Description={{Description}}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=exec
ExecStart={{Path | cmdEscape}}{{range Arguments}} {{. | cmd}}{{end}}
{{if UserName}}User={{UserName}}
{{end}}WorkingDirectory={{WorkingDirectory | cmdEscape}}
Restart=on-failure
RestartSec=5
TimeoutStopSec=30
LimitNOFILE=65536
UMask=0077
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={{WorkingDirectory | cmdEscape}}
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
ProtectClock=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
{{if UserName}}AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
{{end}}
[Install]
WantedBy={{if UserName}}multi-user.target{{else}}default.target{{end}}
`

func (p *program) serviceCommand() *cobra.Command {
	return group("service", "run the server as a service of this machine",
		p.serviceInstall(),
		p.serviceControl("uninstall", "remove the service; the data folder stays", service.Service.Uninstall),
		p.serviceControl("start", "start the service", service.Service.Start),
		p.serviceControl("stop", "stop the service", service.Service.Stop),
		p.serviceStatus())
}

func (f *serviceFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.name, "name", Name, "name of the service")
	flags.BoolVar(&f.user, "user", false, "a service of the current user instead of the machine")
	flags.StringVar(&f.system, "system", "",
		"service manager, such as linux-systemd (default: the one that runs)")
}

// open returns the service as the machine's service manager knows it.
func (f *serviceFlags) open() (service.Service, error) {
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
		return nil, errors.New(
			"no supported service manager runs here (on Linux that is systemd); run \"" + Name +
				" run\" under the one you have, and let it restart the program when it fails",
		)
	}
	return system.New(&serviceProgram{}, &service.Config{
		Name: f.name, DisplayName: "Enjambre server", Description: "Enjambre server: software deployment",
		Arguments: f.args, WorkingDirectory: f.data, UserName: f.owner,
		Option: service.KeyValue{
			"UserService": f.user, "SystemdScript": systemdUnit, "OnFailure": "restart",
			"OnFailureDelayDuration": "5s", "DelayedAutoStart": true,
		},
	})
}

func (p *program) serviceInstall() *cobra.Command {
	var f serviceFlags
	var run runFlags
	command := p.action(
		"install",
		"install the service; it starts with the machine",
		cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			if err := run.check(); err != nil {
				return err
			}
			owner, err := datafolder.Owner(p.data)
			if err != nil {
				return err
			}
			if f.data, err = filepath.Abs(p.data); err != nil { // a service starts in another folder
				return err
			}
			if f.user { // it runs as whoever installs it, who must be able to open the folder
				folder, err := datafolder.Open(ctx, p.data)
				if err != nil {
					return err
				}
				if err := folder.Close(); err != nil {
					return err
				}
			} else {
				f.owner = owner
			}
			f.args = run.arguments(f.data)
			installed, err := f.open()
			if err != nil {
				return err
			}
			if err := installed.Install(); err != nil {
				return fmt.Errorf("install service %s: %w; \"service uninstall\" removes one that is there", f.name,
					err)
			}
			p.note("start it with \"%s service start\"", Name)
			return p.did(map[string]any{"service": f.name, "user": f.owner}, "service %s is installed", f.name)
		},
	)
	p.dataFlag(command)
	run.add(command)
	f.add(command)
	return command
}

func (p *program) serviceControl(verb, short string, do func(service.Service) error) *cobra.Command {
	var f serviceFlags
	command := p.action(verb, short, cobra.NoArgs, func(context.Context, []string) error {
		known, err := f.open()
		if err != nil {
			return err
		}
		if err := do(known); err != nil {
			return fmt.Errorf("%s service %s: %w", verb, f.name, err)
		}
		return p.did(map[string]any{"service": f.name, "done": verb}, "%s service %s: done", verb, f.name)
	})
	f.add(command)
	return command
}

func (p *program) serviceStatus() *cobra.Command {
	var f serviceFlags
	command := p.action(
		"status",
		"say whether the service is installed and runs",
		cobra.NoArgs,
		func(context.Context, []string) error {
			known, err := f.open()
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
				func(w *tabwriter.Writer) { row(w, text) })
		},
	)
	f.add(command)
	return command
}

// A serviceProgram runs the server under a manager that starts and stops it by calls, as Windows does.
type serviceProgram struct {
	run    func(context.Context) error
	cancel context.CancelFunc
	ended  chan error
}

// Start begins the run and returns at once.
func (s *serviceProgram) Start(manager service.Service) error {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.ended = cancel, make(chan error, 1)
	go func() {
		err := s.run(ctx)
		s.ended <- err
		if err != nil && ctx.Err() == nil {
			os.Exit(exitFailed) // so that the manager restarts it
		}
	}()
	return nil
}

// Stop ends the run and waits for it.
func (s *serviceProgram) Stop(service.Service) error {
	s.cancel()
	return <-s.ended
}
