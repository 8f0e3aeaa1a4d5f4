package execute

import (
	"fmt"
	"os/exec"
)

// ShimCommand is the name of the hidden command with which a program becomes the shim: PROGRAM shim FOLDER.
const ShimCommand = "shim"

// Launch starts program as the shim of a job and returns at once. The channel is closed when the shim has
// ended, if this process lives to see it; nobody need listen.
//
// The shim has a session of its own, no terminal, and "/" as its folder, so that what ends the agent does not
// end it. One thing does unless the service is told otherwise: systemd kills everything that a service has
// started when it stops it. The agent's unit needs KillMode=process.
//
// The shim has the environment of this process. What of it reaches the command is decided there.
func Launch(program, folder string) (<-chan struct{}, error) {
	cmd := exec.Command(program, ShimCommand, folder)
	cmd.Dir = rootFolder
	cmd.SysProcAttr = detached()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the shim of %s: %w", folder, err)
	}
	ended := make(chan struct{})
	go func() { // ends with the shim, which has a time limit; else with this process
		_ = cmd.Wait() // what came of it is in the folder
		close(ended)
	}()
	return ended, nil
}
