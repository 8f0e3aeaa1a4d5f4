package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// BuildAgent compiles our own agent into folder, with the flags for "go build", and returns its path.
func BuildAgent(ctx context.Context, folder string, flags ...string) (string, error) {
	binary := filepath.Join(folder, "enjambre-agent")
	args := append(append([]string{"build"}, flags...), "-o", binary, "enjambre/agent")
	build := exec.CommandContext(ctx, "go", args...)
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the agent: %w\n%s", err, output)
	}
	return binary, nil
}

// A Member is one of our own agents with a state folder of its own, and its process while it runs as a service.
type Member struct {
	Binary string
	State  string
	Env    []string // added to our own environment
	Listen string   // for --listen; "" leaves it to the agent
	MDNS   bool     // --mdns
	Quiet  bool     // the service does not log every decision

	// Command makes every process, such as one in another network namespace; nil is exec.CommandContext.
	Command func(ctx context.Context, name string, args ...string) *exec.Cmd

	command *exec.Cmd
	ended   chan error
	log     *os.File
}

// NewMember enrols an agent at the server, at a site, in a state folder called name below folder.
func NewMember(ctx context.Context, server *Server, binary, folder, name, site string) (*Member, error) {
	m := &Member{Binary: binary, State: filepath.Join(folder, name)}
	token, err := server.Run(ctx, "enroll", "token", "--new-site", "--site", site)
	if err != nil {
		return nil, err
	}
	return m, m.Enrol(ctx, server, token)
}

// Enrol enrols the agent at a server with a token.
func (m *Member) Enrol(ctx context.Context, server *Server, token string) error {
	_, err := m.Run(ctx, "enroll", "--state", m.State, "--server", server.Address, "--token", strings.TrimSpace(token),
		"--ca", filepath.Join(server.Data, "cacert.pem"), "--stock-folder", "")
	return err
}

// Run runs one command of the agent and returns all that it says.
func (m *Member) Run(ctx context.Context, args ...string) (string, error) {
	command := process(ctx, m.Command, m.Binary, args...)
	command.Env = append(os.Environ(), m.Env...)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return output.String(), fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, output.String())
	}
	return output.String(), nil
}

// OnceTime bounds [Member.Once]: only what hangs, or must wait, comes to it.
const OnceTime = 5 * time.Minute

// Once runs the agent until nothing is left to do.
func (m *Member) Once(ctx context.Context) (string, error) {
	args := []string{"once", "--state", m.State, "--max-time", OnceTime.String(), "--debug"}
	return m.Run(ctx, append(args, m.listen()...)...)
}

func (m *Member) listen() (flags []string) {
	if m.Listen != "" {
		flags = append(flags, "--listen", m.Listen)
	}
	if m.MDNS {
		flags = append(flags, "--mdns")
	}
	return flags
}

// JSON runs a command with --json on the state folder and decodes what it prints.
func (m *Member) JSON(ctx context.Context, into any, command string) error {
	output, err := process(ctx, m.Command, m.Binary, command, "--state", m.State, "--json").Output()
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	return json.Unmarshal(output, into)
}

// Device returns the device ID.
func (m *Member) Device() (string, error) {
	data, err := os.ReadFile(filepath.Join(m.State, "device"))
	return strings.TrimSpace(string(data)), err
}

// Start starts the agent as a service.
func (m *Member) Start() error {
	log, err := os.OpenFile(m.State+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	args := append([]string{"run", "--state", m.State}, m.listen()...)
	if !m.Quiet {
		args = append(args, "--debug")
	}
	m.command = process(context.Background(), m.Command, m.Binary, args...)
	apart(m.command)
	m.command.Env = append(os.Environ(), m.Env...)
	m.command.Stdout, m.command.Stderr = log, log
	if err := m.command.Start(); err != nil {
		return errors.Join(fmt.Errorf("start the agent: %w", err), log.Close())
	}
	m.log, m.ended = log, make(chan error, 1)
	go func(command *exec.Cmd, ended chan<- error) { ended <- command.Wait() }(m.command, m.ended)
	return nil
}

// stopTimeout is how long an agent may take to end: only one that hangs comes to it.
const stopTimeout = 2 * time.Minute

// Stop asks the agent to end, if it runs, and waits for it.
func (m *Member) Stop() error { return m.end(syscall.SIGTERM) }

// Kill ends the agent without warning, if it runs.
func (m *Member) Kill() error {
	_ = m.end(syscall.SIGKILL) // killed, as asked
	return nil
}

func (m *Member) end(signal syscall.Signal) error {
	if m.command == nil {
		return nil
	}
	defer func() { m.command = nil }()
	defer m.log.Close()
	if err := m.command.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-m.ended:
		if err != nil {
			return fmt.Errorf("the agent ended: %w\n%s", err, m.Log())
		}
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(errors.New("the agent does not stop"), m.command.Process.Kill())
	}
}

// Ended is closed or sent to when the service ends by itself.
func (m *Member) Ended() <-chan error { return m.ended }

// PID returns the process ID of the running service.
func (m *Member) PID() int { return m.command.Process.Pid }

// Log returns the tail of what the service wrote, for messages.
func (m *Member) Log() string {
	data, err := os.ReadFile(m.State + ".log")
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-8000):])
}
