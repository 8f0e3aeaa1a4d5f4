package core

import "strconv"

// An OS is a family of operating systems that a package is made for.
type OS string

// The families that packages can be built for.
const (
	Linux   OS = "linux"
	Windows OS = "windows"
)

// ParseOS reads "linux" or "windows".
func ParseOS(text string) (OS, error) {
	switch os := OS(text); os {
	case Linux, Windows:
		return os, nil
	}
	return "", Refuse(ClassField, "operating system %q: use linux or windows", clip(text))
}

// An Action is what a package does once all of it is there. The zero Action is none.
type Action string

// The three actions of Teledeploy (T3, T4, T5 in the manual's numbering).
const (
	Launch  Action = "LAUNCH"  // run a program of the archive
	Execute Action = "EXECUTE" // run a command, through the system's shell
	Store   Action = "STORE"   // copy the archive's contents to a folder
)

// ParseAction reads LAUNCH, EXECUTE or STORE in exact upper case, as the wire has it.
func ParseAction(text string) (Action, error) {
	switch action := Action(text); action {
	case Launch, Execute, Store:
		return action, nil
	}
	return "", Refuse(ClassField, "action %q: use LAUNCH, EXECUTE or STORE", clip(text))
}

// NeedsArchive reports whether a package of this action must have an archive.
func (a Action) NeedsArchive() bool { return a == Launch || a == Store }

// A Priority is 0 to 10; 0 is the most urgent and stops all others while it is not downloaded.
type Priority uint8

// MaxPriority is the least urgent priority.
const MaxPriority Priority = 10

// ParsePriority reads 0 to 10, without sign or leading zero.
func ParsePriority(text string) (Priority, error) {
	number, err := strconv.ParseUint(text, 10, 8)
	if err != nil || Priority(number) > MaxPriority || strconv.FormatUint(number, 10) != text {
		return 0, Refuse(ClassLimit, "priority %q: use 0 (most urgent) to %d", clip(text), MaxPriority)
	}
	return Priority(number), nil
}

// String returns the decimal digits.
func (p Priority) String() string { return strconv.Itoa(int(p)) }

// Limits of a package. Fragments below 16 KiB cost more in requests than in bytes; 16 MiB is what an
// agent holds in memory while it verifies one.
const (
	MinFragmentSize = 16 << 10
	MaxFragmentSize = 16 << 20
	MaxFragments    = 65_536
)
