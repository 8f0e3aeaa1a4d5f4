package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"enjambre/agent/internal/config"
	"enjambre/agent/internal/daemon"
	"enjambre/agent/internal/enrol"
	"enjambre/agent/internal/failpoint"
	"enjambre/agent/internal/origin"
	"enjambre/agent/internal/state"
)

// A joining is what an agent needs to become enrolled by itself.
type joining struct {
	folder   *state.Folder
	settings config.Config
	proxy    origin.Proxy
	log      *slog.Logger
	service  bool
	started  time.Time
}

// join returns once the agent is enrolled. An agent that has no word how to, is refused at once; as a service it
// waits until somebody enrols it by hand, rather than being started anew every few seconds.
func (j joining) join(ctx context.Context) error {
	enrolled, err := j.enrolled()
	if err != nil {
		return err
	}
	if !enrolled {
		if !j.settings.Enrols() && !j.service {
			_, err := j.folder.Identity() // names the folder
			return err
		}
		if err := j.persist(ctx); err != nil {
			return err
		}
	}
	if j.settings.TokenFile == "" {
		return nil
	}
	switch err := os.Remove(j.settings.TokenFile); {
	case err == nil:
		j.log.Info("token removed: it has done its work", "file", j.settings.TokenFile)
	case !errors.Is(err, fs.ErrNotExist):
		j.log.Warn("the token is not needed any more and cannot be removed", "reason", err)
	}
	return nil
}

// persist enrols, as the one agent that runs with this folder.
func (j joining) persist(ctx context.Context) error {
	unlock, err := j.folder.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	j.started = time.Now()
	j.show("")
	return enrol.Persist(ctx, enrol.Persistence{
		Enrolled: j.enrolled, Now: failpoint.Now,
		Attempt: j.attempt,
		Failed: func(reason error, again time.Time) {
			j.log.Warn("not enrolled yet", "reason", reason, "again", again.Round(time.Second))
			j.show("not enrolled yet: " + reason.Error())
		},
	})
}

// attempt enrols once. The token is read each time: it may be the reason of the last failure.
func (j joining) attempt(ctx context.Context) error {
	if !j.settings.Enrols() {
		_, err := j.folder.Identity()
		return err
	}
	server, err := origin.ParseServer(j.settings.Server)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(j.settings.TokenFile)
	if err != nil {
		return fmt.Errorf("token: %w", err)
	}
	token, err := checkToken(data)
	if err != nil {
		return fmt.Errorf("token %s: %w", j.settings.TokenFile, err)
	}
	known, err := enrol.Enrol(ctx, enrol.Options{
		State: j.folder, Server: server, CA: j.settings.CA, Token: token, Tag: j.settings.Tag,
		StockFolder: enrol.StockFolder, Proxy: j.proxy, Now: failpoint.Now,
	})
	if err != nil {
		return err
	}
	j.log.Info("enrolled", "deployment", known.Deployment, "computer", known.Device, "site", known.Site)
	return nil
}

func (j joining) enrolled() (bool, error) {
	_, err := j.folder.Identity()
	if errors.Is(err, state.ErrNotEnrolled) {
		return false, nil
	}
	return err == nil, err
}

// show lets "status" and "diagnose" see how it goes.
func (j joining) show(problem string) {
	status := daemon.Status{
		Process: os.Getpid(), Started: j.started, Server: j.settings.Server, LastProblem: problem,
	}
	if err := j.folder.Publish(daemon.StatusName, status); err != nil {
		j.log.Warn("the status cannot be shown", "reason", err)
	}
}
