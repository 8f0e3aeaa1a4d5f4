package ocs

import (
	"strconv"

	"enjambre/core"
	"enjambre/core/internal/strictxml"
)

// Bounds of a result's fields, in bytes. Stock servers keep ERR in a column of 255.
const (
	MaxResultText   = 255
	MaxResultDetail = 1 << 10
	MaxResultOutput = 4 << 10
)

// UnknownCode is the text of a result that names no code.
const UnknownCode = "UNKNOWN_CODE"

// A Result is a DOWNLOAD request: how a package ended on a computer. Exit, Detail, Output and Shared
// are Enjambre's own and absent from stock agents.
type Result struct {
	Package core.PackageID
	Text    string // such as SUCCESS_0 or ERR_EXECUTE; never empty
	Exit    string // exit code in decimal digits, "" when unknown
	Detail  string // class and text of a failure
	Output  string // the end of the command's output
	Shared  int64  // bytes of the package that members of the site sent, 0 to MaxShared
}

// Result reads a DOWNLOAD request. Longer fields than the bounds are cut, since a result must not be
// lost because a command was talkative; control characters become '?'.
func (r *Request) Result() (Result, error) {
	var result Result
	texts := []struct {
		name string
		to   *string
		most int
	}{
		{"ERR", &result.Text, MaxResultText},
		{"EXIT", &result.Exit, 20},
		{"DETAIL", &result.Detail, MaxResultDetail},
		{"OUTPUT", &result.Output, MaxResultOutput},
	}
	for _, text := range texts {
		value, err := field(r.root, text.name)
		if err != nil {
			return Result{}, err
		}
		*text.to = printable(value, text.most)
	}
	id, err := field(r.root, "ID")
	if err != nil {
		return Result{}, err
	}
	if result.Package, err = core.ParsePackageID(id); err != nil {
		return Result{}, err
	}
	if result.Text == "" {
		result.Text = UnknownCode
	}
	if _, err := strconv.Atoi(result.Exit); err != nil {
		result.Exit = ""
	}
	numbers := newNumbers(r.root)
	if shared := numbers.read64("SHARED", 0, MaxShared); numbers.err == nil { // else left out, as Exit is
		result.Shared = shared
	}
	return result, nil
}

// Append appends the request in the Unix agent's form: attributes only, sorted, no declaration.
func (r Result) Append(to []byte, device core.DeviceID) []byte {
	to = append(to, "<REQUEST"...)
	to = appendOptional(to, "DETAIL", r.Detail)
	to = strictxml.AppendAttribute(to, "DEVICEID", string(device))
	to = strictxml.AppendAttribute(to, "ERR", r.Text)
	to = appendOptional(to, "EXIT", r.Exit)
	to = strictxml.AppendAttribute(to, "ID", r.Package.String())
	to = appendOptional(to, "OUTPUT", r.Output)
	to = strictxml.AppendAttribute(to, "QUERY", string(QueryDownload))
	to = appendShared(to, r.Shared)
	return append(to, " />\n"...)
}

// appendOptional appends an attribute unless its value is empty.
func appendOptional(to []byte, name, value string) []byte {
	if value == "" {
		return to
	}
	return strictxml.AppendAttribute(to, name, value)
}
