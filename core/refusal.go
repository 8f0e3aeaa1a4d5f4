package core

import (
	"errors"
	"fmt"
)

// A Class names why foreign input was refused, or why a package failed. It is what tests, counters and an agent's DETAIL
// field compare; the text beside it is for people.
type Class string

// The classes, as the bad-input corpus uses them.
const (
	ClassXML     Class = "E_XML"       // not the XML that the protocol allows
	ClassBomb    Class = "E_BOMB"      // grows out of proportion when decompressed or unpacked
	ClassLimit   Class = "E_LIMIT"     // a number or a length outside its bounds
	ClassCanon   Class = "E_CANON"     // says what it says in another spelling than the one allowed
	ClassSig     Class = "E_SIG"       // a signature that does not hold
	ClassKeys    Class = "E_THRESHOLD" // too few distinct trusted keys or owners signed
	ClassType    Class = "E_TYPE"      // another kind of thing than expected
	ClassHash    Class = "E_HASH"      // bytes that do not have the digest they should
	ClassPath    Class = "E_PATH"      // a name that leads out of the folder it belongs in
	ClassName    Class = "E_NAME"      // a name that some system cannot hold or reads as another
	ClassLink    Class = "E_LINK"      // a link that is not allowed
	ClassFormat  Class = "E_FORMAT"    // not a well-formed file of its kind
	ClassField   Class = "E_FIELD"     // a missing or malformed field of a message or a form
	ClassIdent   Class = "E_IDENT"     // somebody who cannot show that they are who they say
	ClassVersion Class = "E_VERSION"   // made by a newer program than this one
)

// The classes of what can go wrong on a computer with a package that was accepted.
const (
	ClassExec      Class = "E_EXEC"      // a command that cannot be started, or that a signal ended
	ClassEnv       Class = "E_ENV"       // a variable that is unknown, or whose value must not be used
	ClassTime      Class = "E_TIME"      // a command that took longer than it may
	ClassNoSpace   Class = "E_NOSPACE"   // a disk that is full
	ClassInterrupt Class = "INTERRUPTED" // begun, and ended by a crash or a restart: the outcome is unknown
)

// A Refusal is foreign input that was not accepted: its class for programs, its reason for people.
type Refusal struct {
	Class  Class
	Reason string
}

// Error says the reason. The class is for programs: see [ClassOf].
func (r *Refusal) Error() string { return r.Reason }

// Refuse makes a Refusal; the text follows [fmt.Sprintf].
func Refuse(class Class, format string, args ...any) error {
	return &Refusal{Class: class, Reason: fmt.Sprintf(format, args...)}
}

// ClassOf returns the class of the first Refusal in err's tree, or "" when there is none.
func ClassOf(err error) Class {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal.Class
	}
	return ""
}
