package diagnose

import (
	"fmt"
	"net"
	"os"

	"enjambre/agent/internal/config"
	"enjambre/agent/internal/daemon"
)

const openPort = "let UDP pass between the computers of a site, to and from the agents' port (listen in agent.toml, 4901 by default)"

// members looks at the agent's part in its site's swarm: what a running one says, else whether it could listen.
func (r *run) members() {
	const name = "swarm"
	if r.folder == nil {
		r.skip("no state folder", name)
		return
	}
	if running, err := r.isRunning(); err == nil && running {
		var status daemon.Status
		switch err := r.folder.Load(daemon.StatusName, &status); {
		case err != nil:
			r.skip("the agent's status cannot be read", name)
		case status.Swarm.Problem != "" && status.Swarm.Site != "":
			r.add(name, Warn, status.Swarm.String(), openPort)
		case status.Swarm.Problem != "":
			r.add(name, Warn, "takes no part: "+status.Swarm.Problem, "it fetches everything from the server; see listen in "+
				"agent.toml, and the site's settings at the server")
		default:
			r.add(name, OK, status.Swarm.String(), "")
		}
		return
	}
	port, off, err := config.ParseListen(r.options.Settings.Listen)
	switch {
	case err != nil:
		r.add(name, Warn, err.Error(), "correct listen in agent.toml")
		return
	case off:
		r.add(name, OK, "switched off in the settings", "")
		return
	}
	socket, err := net.ListenUDP("udp", &net.UDPAddr{Port: int(port)})
	if err != nil {
		r.add(name, Warn, fmt.Sprintf("UDP port %d: %v", port, err), "choose another port as listen in agent.toml")
		return
	}
	_ = socket.Close() // nothing was sent
	r.add(name, OK, fmt.Sprintf("UDP port %d is free", port), "")
}

// isRunning reports whether the agent runs, and makes no file to find out. The folder is there.
func (r *run) isRunning() (bool, error) {
	if _, err := os.Stat(r.folder.Path("lock")); err != nil { // asking would make it
		return false, nil
	}
	return r.folder.Running()
}
