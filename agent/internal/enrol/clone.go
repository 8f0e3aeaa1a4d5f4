package enrol

import (
	"fmt"
	"log/slog"
	"time"

	"enjambre/agent/internal/inventory"
	"enjambre/agent/internal/state"
)

// machineName is the file, machine.json, of what the computer was when the agent enrolled or first ran.
const machineName = "machine"

// CheckMachine notices that a state folder was copied to another computer, as with the image of a disk: two agents
// must never speak with one key. The identity is then set aside and the error is a [state.ErrNotEnrolled]; what the
// copied disk has installed is still known. now is what the computer is. What it was and cannot be read any more is
// forgotten, as at the first run: the server notices a copy too.
func CheckMachine(folder *state.Folder, now inventory.Machine, at time.Time, log *slog.Logger) error {
	before, err := state.Recall(folder, machineName, inventory.Machine{})
	if err != nil {
		log.Warn("what this computer was is forgotten", "reason", err)
	}
	if !before.IsOther(now) {
		if before == now {
			return nil
		}
		return folder.Save(machineName, now) // repaired, or seen for the first time
	}
	aside, err := folder.SetAside(at)
	if err != nil {
		return err
	}
	return fmt.Errorf("the state folder comes from another computer, whose identity is now in %s: %w", aside,
		state.ErrNotEnrolled)
}
