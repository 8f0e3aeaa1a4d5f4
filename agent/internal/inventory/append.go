package inventory

import (
	"slices"
	"strconv"

	"enjambre/core"
	"enjambre/core/ocs"
)

// Append returns the sections as an inventory, with the checksum of what changed appended to HARDWARE,
// together with the account fields the computer carries and the packages it has installed. Every section is
// sent, changed or not: a server that trusts the checksum skips the others, one that does not needs them. Of
// account and history at most ocs.MaxAccount and ocs.MaxHistory are kept, of history the last. The arguments
// stay as they are.
func Append(sections []ocs.Section, checksum uint32, account []ocs.AccountField,
	history []core.PackageID) ocs.Inventory {
	sections = slices.Clone(sections)
	at := slices.IndexFunc(sections, func(s ocs.Section) bool { return s.Name == "HARDWARE" })
	if at < 0 {
		at = len(sections)
		sections = append(sections, ocs.Section{Name: "HARDWARE"})
	}
	sum := ocs.Field{Name: "CHECKSUM", Value: strconv.FormatUint(uint64(checksum), 10)}
	sections[at].Fields = append(slices.Clone(sections[at].Fields), sum)
	return ocs.Inventory{
		Sections: sections,
		Account:  account[:min(len(account), ocs.MaxAccount)],
		History:  history[max(0, len(history)-ocs.MaxHistory):],
		Reported: true,
	}
}
