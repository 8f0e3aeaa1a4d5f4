package info

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"enjambre/core"
	"enjambre/core/outcome"
)

// Check reports every reason, joined, why the info is not one that agents accept. Each is a Refusal of
// class E_FIELD or E_LIMIT that begins with the name of the attribute.
func (i *Info) Check() error {
	var c checker
	c.field(i.ID > 0, "ID: %d is no package ID", i.ID)
	_, err := core.ParseOS(string(i.OS))
	c.field(err == nil, "OS: %q is neither linux nor windows", i.OS)
	c.limit(i.Priority <= core.MaxPriority, "PRI: %d is above %d", i.Priority, core.MaxPriority)
	_, err = core.ParseAction(string(i.Action))
	c.field(err == nil, "ACT: %q is neither LAUNCH, EXECUTE nor STORE", i.Action)
	c.field(i.Protocol == HTTP || i.Protocol == HTTPS, "PROTO: %q is neither HTTP nor HTTPS", i.Protocol)
	c.field(i.Archive != nil || !i.Action.NeedsArchive(), "FRAGS: a %s package needs an archive", i.Action)
	i.checkTarget(&c)
	i.checkArchive(&c)
	i.checkNotice(&c)
	i.checkExecution(&c)
	c.field(i.Deployment != "" && core.Printable(i.Deployment), "DEPLOYMENT: %q is no name", i.Deployment)
	c.limit(len(i.Deployment) <= maxDeploymentBytes, "DEPLOYMENT: longer than %d bytes", maxDeploymentBytes)
	c.field(wholeSecond(i.Issued) && !i.Issued.IsZero(), "ISSUED: %v is no whole second", i.Issued)
	c.field(wholeSecond(i.NotBefore), "NOT_BEFORE: %v is no whole second", i.NotBefore)
	return errors.Join(c.problems...)
}

// A checker gathers problems.
type checker struct{ problems []error }

func (c *checker) field(good bool, format string, args ...any) {
	if !good {
		c.problems = append(c.problems, core.Refuse(core.ClassField, format, args...))
	}
}

func (c *checker) limit(good bool, format string, args ...any) {
	if !good {
		c.problems = append(c.problems, core.Refuse(core.ClassLimit, format, args...))
	}
}

func wholeSecond(t time.Time) bool {
	return t.Nanosecond() == 0 && (t.IsZero() || t.Year() >= 1970 && t.Year() <= 9999)
}

func (i *Info) checkTarget(c *checker) {
	name := targetName(i.Action)
	c.field(i.Target == strings.TrimSpace(i.Target) && i.Target != "",
		"%s: it is empty or begins or ends with a blank", name)
	c.limit(len(i.Target) <= MaxTarget, "%s: longer than %d bytes", name, MaxTarget)
	c.field(readable(i.Target), "%s: it holds control or deceptive characters", name)
}

func (i *Info) checkArchive(c *checker) {
	if i.Archive == nil {
		return
	}
	c.field(i.Archive.Plan.Count() > 0, "FRAGS: an archive without fragments")
	c.limit(i.Archive.Unpacked >= 0 && i.Archive.Unpacked <= MaxUnpacked,
		"UNPACKED: %d is not 0 to %d bytes", i.Archive.Unpacked, int64(MaxUnpacked))
	c.limit(i.Archive.Entries >= 1 && i.Archive.Entries <= MaxEntries,
		"ENTRIES: %d is not 1 to %d", i.Archive.Entries, MaxEntries)
}

func (i *Info) checkNotice(c *checker) {
	n := i.Notice
	for name, text := range map[string]string{"NOTIFY_TEXT": n.Text, "NEED_DONE_ACTION_TEXT": i.Completion} {
		c.limit(len(text) <= MaxNotice, "%s: longer than %d bytes", name, MaxNotice)
		c.field(readable(text), "%s: it holds control or deceptive characters", name)
	}
	if n.Text == "" {
		c.field(n == Notice{}, "NOTIFY_USER: options of a notice without its text")
		return
	}
	c.limit(n.Countdown >= 0 && n.Countdown <= MaxCountdown && n.Countdown%time.Second == 0,
		"NOTIFY_COUNTDOWN: %v is not whole seconds from 0 to %v", n.Countdown, MaxCountdown)
	if n.MayDelay {
		c.limit(n.MaxDelays >= 1 && n.MaxDelays <= MaxDelays, "MAX_DELAYS: %d is not 1 to %d", n.MaxDelays,
			MaxDelays)
	} else {
		c.field(n.MaxDelays == 0, "MAX_DELAYS: the user may not delay")
	}
}

func (i *Info) checkExecution(c *checker) {
	c.limit(i.ExecTime >= time.Second && i.ExecTime <= MaxExecTime && i.ExecTime%time.Second == 0,
		"EXEC_SECONDS: %v is not whole seconds from 1 s to %v", i.ExecTime, MaxExecTime)
	codes := i.SuccessCodes
	c.limit(codes == nil || len(codes) >= 1 && len(codes) <= outcome.MaxSuccessCodes,
		"SUCCESS_CODES: %d codes, use 1 to %d", len(codes), outcome.MaxSuccessCodes)
	c.field(slices.IsSorted(codes) && len(slices.Compact(slices.Clone(codes))) == len(codes),
		"SUCCESS_CODES: %v are not ascending and unique", codes)
	c.field(!slices.Equal(codes, outcome.DefaultSuccessCodes(i.OS)),
		"SUCCESS_CODES: the defaults are written as nil")
}

// readable allows what a person can read: printable characters, tab and line feed. A command needs no
// others, and they would change between writing and reading XML, or fool whoever reads the log.
func readable(text string) bool {
	if !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || core.IsDeceptive(r) || r == 0xFFFE || r == 0xFFFF {
			return false
		}
	}
	return true
}

// targetName is the attribute that holds an action's target.
func targetName(action core.Action) string {
	switch action {
	case core.Launch:
		return "NAME"
	case core.Execute:
		return "COMMAND"
	}
	return "PATH"
}
