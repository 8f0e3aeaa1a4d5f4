package inventory

import (
	"context"
	"slices"
	"strings"

	"enjambre/agent/internal/aside"
	"enjambre/core"
)

// A Machine is what tells a computer from its copies: three parts that do not follow from each other. A part
// is the zero Digest when it is not known. It may be kept and compared; the values behind it do not follow
// from it.
type Machine struct {
	System   core.Digest `json:"system"`   // machine ID of the installed system: copied with the disk
	Product  core.Digest `json:"product"`  // UUID of the mainboard or the virtual machine
	Adapters core.Digest `json:"adapters"` // set of the adapters' permanent MAC addresses
}

// IsOther reports whether now is another computer than m: at least two of the parts that are known in both
// differ.
//
// Copying a disk, or cloning a virtual machine, changes the product and the adapters; the system's ID too if
// whoever copies is careful. On the other hand one part may change while the computer stays the same: a
// network card is added, a system is prepared anew for its image and loses its ID, firmware forgets the UUID
// it was given. So one difference is a repair, two are another computer. A mainboard that is replaced
// together with its onboard adapter changes two, and cannot be told from a disk that moved into another
// computer: it counts as another, and a person has to enrol it anew. With fewer than two parts known in both
// nothing can be said, and m stays who it is.
func (m Machine) IsOther(now Machine) bool {
	differ := 0
	for _, part := range [][2]core.Digest{
		{m.System, now.System}, {m.Product, now.Product}, {m.Adapters, now.Adapters},
	} {
		isKnown := part[0] != core.Digest{} && part[1] != core.Digest{}
		if isKnown && part[0] != part[1] {
			differ++
		}
	}
	return differ >= 2
}

// Fingerprint reads what tells this computer from its copies. What cannot be read is left unknown: the
// product UUID, for one, is shown to root alone. What does not answer within MaxSource is unknown as well.
func Fingerprint(system System) Machine {
	system = system.complete()
	ctx, cancel := context.WithTimeout(context.Background(), MaxSource)
	defer cancel()
	machine, err := aside.Do(ctx, "fingerprint "+system.Root, func() (Machine, error) { return fingerprint(system), nil })
	if err != nil {
		system.Log.Warn("what tells this computer from its copies is not known", "reason", err)
	}
	return machine
}

func fingerprint(system System) Machine {
	id, uuid, addresses := system.identity()
	return Machine{
		System:   part("system", known(id)),
		Product:  part("product", known(uuid)),
		Adapters: part("adapters", strings.Join(slices.Compact(slices.Sorted(slices.Values(addresses))), "\n")),
	}
}

// part digests a value under the name of its part, so that no two parts are equal by chance. No value, no
// digest.
func part(name, value string) core.Digest {
	if value == "" {
		return core.Digest{}
	}
	return core.DigestOf([]byte(name + "\n" + strings.ToLower(value)))
}
