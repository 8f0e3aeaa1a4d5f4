// Package stage sets up the real programs on this machine, for the end-to-end tests and the demo: it
// builds the server, runs it in a folder of its own on the loopback, runs its commands, and runs the
// stock OCS agent against it. Nothing is left running: whoever starts something stops it.
package stage

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// readyTimeout is how long a server may take to serve, and to end: only one that hangs comes to it.
const readyTimeout = 3 * time.Minute

// Build compiles the server into folder, with the flags for "go build", and returns its path. It must be
// called from inside the module.
func Build(ctx context.Context, folder string, flags ...string) (string, error) {
	binary := filepath.Join(folder, "enjambre-server")
	args := append(append([]string{"build"}, flags...), "-o", binary, "enjambre/server")
	build := exec.CommandContext(ctx, "go", args...)
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the server: %w\n%s", err, output)
	}
	return binary, nil
}

// A Server is a server's data folder, and the process while one runs.
type Server struct {
	Binary  string // runs commands
	Daemon  string // runs the server; NewServer makes it the same as Binary
	Data    string
	Address string // https://127.0.0.1:port, once it runs
	HTTP    string // http://127.0.0.1:port, once it runs with plain HTTP

	// Command makes every process, such as one in another network namespace; nil is exec.CommandContext.
	Command func(ctx context.Context, name string, args ...string) *exec.Cmd

	listen, listenHTTP string // of the last start, so that the next one is at the same place

	command *exec.Cmd
	stderr  *bytes.Buffer
	ended   chan error
}

// NewServer makes a data folder below folder, for stock agents too, reached as 127.0.0.1 and localhost.
func NewServer(ctx context.Context, binary, folder string) (*Server, error) {
	s := &Server{Binary: binary, Daemon: binary, Data: filepath.Join(folder, "data")}
	_, err := s.Run(ctx, "init", "--host", "127.0.0.1,localhost", "--stock-agents")
	return s, err
}

// process returns a command, made by maker unless that is nil.
func process(ctx context.Context, maker func(context.Context, string, ...string) *exec.Cmd, name string,
	args ...string) *exec.Cmd {
	if maker == nil {
		maker = exec.CommandContext
	}
	return maker(ctx, name, args...)
}

// apart makes a command the leader of a process group: Ctrl-C is for us, and we stop it.
func apart(command *exec.Cmd) {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Setpgid = true
}

// Run runs one command on the data folder and returns its stdout. --data is added.
func (s *Server) Run(ctx context.Context, args ...string) (string, error) {
	words := 1 // "init" is one word, "package build" two
	for words < len(args) && words < 2 && !strings.HasPrefix(args[words], "-") {
		words++
	}
	full := append([]string{}, args[:words]...)
	full = append(append(full, "--data", s.Data), args[words:]...)
	command := process(ctx, s.Command, s.Binary, full...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// JSON runs one command with --json and decodes what it prints.
func (s *Server) JSON(ctx context.Context, into any, args ...string) error {
	output, err := s.Run(ctx, append(args, "--json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(output), into); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, output)
	}
	return nil
}

// Start starts the server on free ports of the loopback, or again where it was, and waits until it serves. While it
// does not run, nobody is given its ports who does not ask for them.
func (s *Server) Start(ctx context.Context) error {
	if s.listen != "" {
		return s.StartAt(ctx, s.listen, s.listenHTTP)
	}
	listen, err := freePort()
	if err != nil {
		return err
	}
	listenHTTP, err := freePort()
	if err != nil {
		return err
	}
	return s.StartAt(ctx, listen, listenHTTP)
}

// Ports that no system gives to who does not care which: those are above (Linux takes 32768 and more, others 49152).
const (
	firstPort = 20_000
	ports     = 10_000
)

// freePort returns an address of the loopback where nobody listens now.
func freePort() (address string, err error) {
	for range 100 {
		address = net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(ports)))
		var listener net.Listener
		if listener, err = net.Listen("tcp", address); err == nil {
			return address, listener.Close()
		}
	}
	return "", fmt.Errorf("no port is free: %w", err)
}

// StartAt starts the server at these addresses and waits until it serves.
func (s *Server) StartAt(ctx context.Context, listen, listenHTTP string) error {
	s.command = process(context.WithoutCancel(ctx), s.Command, s.Daemon,
		"run", "--data", s.Data, "--listen", listen, "--listen-http", listenHTTP)
	apart(s.command)
	s.stderr, s.ended = &bytes.Buffer{}, make(chan error, 1)
	s.command.Stderr = s.stderr
	stdout, err := s.command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.command.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if address, found := strings.CutPrefix(lines.Text(), "ready "); found {
				ready <- address
			}
		}
		s.ended <- s.command.Wait()
	}()
	select {
	case s.Address = <-ready:
		return s.readPorts()
	case err := <-s.ended:
		return fmt.Errorf("the server ended: %w\n%s", errors.Join(err, errors.New("before it was ready")),
			s.stderr)
	case <-ctx.Done():
		return errors.Join(ctx.Err(), s.Kill())
	case <-time.After(readyTimeout):
		return errors.Join(errors.New("the server is not ready in time"), s.Kill())
	}
}

func (s *Server) readPorts() error {
	data, err := os.ReadFile(filepath.Join(s.Data, "run.json"))
	if err != nil {
		return err
	}
	var running struct{ HTTP string }
	err = json.Unmarshal(data, &running)
	s.HTTP = "http://" + running.HTTP
	s.listen, s.listenHTTP = strings.TrimPrefix(s.Address, "https://"), running.HTTP
	return err
}

// PID returns the process ID of the running server.
func (s *Server) PID() int { return s.command.Process.Pid }

// Stop asks the server to end and waits for it.
func (s *Server) Stop() error {
	if s.command == nil {
		return nil
	}
	if err := s.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.wait()
}

// Kill ends the server without warning.
func (s *Server) Kill() error {
	if err := s.command.Process.Kill(); err != nil {
		return err
	}
	_ = s.wait() // killed, as asked
	return nil
}

func (s *Server) wait() error {
	defer func() { s.command = nil }()
	select {
	case err := <-s.ended:
		if err != nil {
			return fmt.Errorf("the server ended: %w\n%s", err, s.stderr)
		}
		return nil
	case <-time.After(readyTimeout):
		return errors.Join(errors.New("the server does not stop"), s.command.Process.Kill())
	}
}

// Log returns one of the server's logs, at most its first MiB.
func (s *Server) Log(name string) string {
	file, err := os.Open(filepath.Join(s.Data, "logs", name))
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, 1<<20))
	if err != nil {
		return err.Error()
	}
	return string(data)
}
