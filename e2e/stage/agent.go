package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// AgentProgram is the stock Unix agent, as Debian installs it.
const AgentProgram = "ocsinventory-agent"

// HaveAgent reports why the stock agent cannot be run here; nil if it can. Deployment needs Perl's HTTPS
// support, without which the agent silently leaves it out.
func HaveAgent() error {
	if _, err := exec.LookPath(AgentProgram); err != nil {
		return fmt.Errorf("%s is not installed: apt-get install ocsinventory-agent liblwp-protocol-https-perl",
			AgentProgram)
	}
	if err := exec.Command("perl", "-MLWP::Protocol::https", "-e", "1").Run(); err != nil {
		return errors.New(
			"the HTTPS support of Perl is not installed: apt-get install liblwp-protocol-https-perl")
	}
	if os.Geteuid() != 0 {
		return errors.New("the stock agent needs root")
	}
	return nil
}

// An Agent is a stock Unix agent with a folder of its own.
type Agent struct {
	Server string // URL of its server, such as https://127.0.0.1:8443/ocsinventory
	CA     string // file of the authority it trusts
	Folder string
	Tag    string
}

// agentTimeout bounds one run of the agent with all its downloads: only what hangs comes to it.
const agentTimeout = 10 * time.Minute

// Run runs the agent once and waits until it and the download process that it leaves behind have ended.
func (a *Agent) Run(ctx context.Context) error {
	finish, err := a.Begin()
	if err != nil {
		return err
	}
	return finish(ctx)
}

// Begin runs the agent and returns when it has answered the server, while downloads go on. The returned
// function waits for them, or with a cancelled context ends them.
func (a *Agent) Begin() (finish func(context.Context) error, err error) {
	command, err := a.start()
	if err != nil {
		return nil, err
	}
	if err := command.Wait(); err != nil {
		return nil, fmt.Errorf("the stock agent: %w\n%s", err, a.Log())
	}
	return func(ctx context.Context) error { return a.waitGroup(ctx, command.Process.Pid) }, nil
}

func (a *Agent) start() (*exec.Cmd, error) {
	if err := os.MkdirAll(a.Folder, 0o700); err != nil {
		return nil, err
	}
	args := []string{
		"--server=" + a.Server,
		"--basevardir=" + a.Folder,
		"--nolocal",
		"--nosoftware",
		"--debug",
		"--logfile=" + filepath.Join(a.Folder, "agent.log"),
	}
	if a.CA != "" {
		args = append(args, "--ca="+a.CA, "--ssl=1")
	}
	if a.Tag != "" {
		args = append(args, "--tag="+a.Tag)
	}
	command := exec.Command(AgentProgram, args...)
	file, err := os.Create(
		filepath.Join(a.Folder, "output.log")) // a pipe would stay open with the download process
	if err != nil {
		return nil, err
	}
	defer file.Close()
	command.Stdout, command.Stderr = file, file
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Env = append(os.Environ(), "HOME="+a.Folder, "LC_ALL=C.UTF-8")
	return command, command.Start()
}

// waitGroup waits until no process of the agent's group is left, and ends those that take too long.
func (a *Agent) waitGroup(ctx context.Context, group int) error {
	ctx, cancel := context.WithTimeout(ctx, agentTimeout)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if err := syscall.Kill(-group, 0); errors.Is(err, syscall.ESRCH) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			_ = syscall.Kill(-group, syscall.SIGKILL)
			return fmt.Errorf("the stock agent's downloads: %w\n%s", ctx.Err(), a.Log())
		}
	}
}

// Log returns what the agent wrote, for messages.
func (a *Agent) Log() string {
	var text strings.Builder
	for _, name := range []string{"output.log", "agent.log"} {
		data, err := os.ReadFile(filepath.Join(a.Folder, name))
		if err == nil {
			text.Write(data[max(0, len(data)-4000):])
		}
	}
	return text.String()
}

// data returns the agent's folder for its server.
func (a *Agent) data() string {
	return filepath.Join(a.Folder, strings.ReplaceAll(a.Server, "/", "_"))
}

// Device returns the device ID that the agent has given itself.
func (a *Agent) Device() (string, error) {
	data, err := os.ReadFile(filepath.Join(a.data(), "ocsinv.conf"))
	if err != nil {
		return "", err
	}
	_, after, found := strings.Cut(string(data), "<DEVICEID>")
	device, _, closed := strings.Cut(after, "</DEVICEID>")
	if !found || !closed {
		return "", fmt.Errorf("no device ID in %s", data)
	}
	return device, nil
}

// History returns the IDs of the packages that the agent remembers as installed.
func (a *Agent) History() ([]string, error) {
	data, err := os.ReadFile(filepath.Join(a.data(), "download", "history"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(data)), err
}
