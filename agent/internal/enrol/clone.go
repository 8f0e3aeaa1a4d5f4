package enrol

import (
	"fmt"
	"time"

	"enjambre/agent/internal/inventory"
	"enjambre/agent/internal/state"
)

// machineName is the file, machine.json, of what the computer was when the agent enrolled or first ran.
const machineName = "machine"

// CheckMachine notices that a state folder was copied to another computer, as with the image of a disk: two agents
// must never speak with one key. The identity is then set aside and the error is a [state.ErrNotEnrolled]; what the
// copied disk has installed is still known. now is what the computer is.
func CheckMachine(folder *state.Folder, now inventory.Machine, at time.Time) error {
	var before inventory.Machine
	if err := folder.Load(machineName, &before); err != nil {
		return err
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
