package daemon

import (
	"fmt"
	"strconv"
	"time"

	"enjambre/agent/internal/ledger"
	"enjambre/agent/internal/plan"
	"enjambre/core/cycle"
	"enjambre/core/ocs"
)

// confOf returns the schedule's options that a server's CONF means.
func confOf(conf ocs.Conf) cycle.Options {
	return cycle.Options{
		Paused: !conf.On, PeriodLength: conf.PeriodLength, CycleLatency: conf.CycleLatency,
		PeriodLatency: conf.PeriodLatency, FragLatency: conf.FragLatency, FragsPerTurn: conf.FragsPerTurn,
		Timeout: time.Duration(conf.TimeoutDays) * 24 * time.Hour,
	}
}

// intervalOf returns how often the server wants to be called: in seconds by the site's policy, else in hours as
// stock servers say it. 0 means that it does not say.
func intervalOf(reply ocs.PrologReply) time.Duration {
	if reply.Swarm != nil {
		for _, field := range reply.Swarm.Policy {
			seconds, err := strconv.ParseUint(field.Value, 10, 31)
			if field.Name == ocs.PolicyContactSeconds && err == nil {
				return time.Duration(seconds) * time.Second
			}
		}
	}
	return time.Duration(reply.PrologFreq) * time.Hour
}

// pastOf says what an offered package's last attempt makes of it, and how many attempts have ended. An intent that
// nothing waits for any more came to nothing.
func pastOf(attempt ledger.Attempt, known bool) (past plan.Past, ended int) {
	switch {
	case !known:
		return plan.Unknown, 0
	case attempt.Stage == ledger.Ended:
		return plan.Open, attempt.Number
	case attempt.Stage == ledger.Intended:
		ended = attempt.Number - 1
	default:
		ended = attempt.Number
	}
	if attempt.Result.Installed {
		return plan.Installed, ended
	}
	return plan.Failed, ended
}

func withDetail(text, detail string) string {
	if detail == "" {
		return text
	}
	return text + ", " + detail
}

// standing says in a few words where a package stands.
func standing(task plan.Task, conf cycle.Options) string {
	text := fmt.Sprintf("%d of %d fragments", task.Have, task.Of)
	switch {
	case conf.Paused:
		text = "deployment is switched off for this computer"
	case !task.Known:
		text = "its info file is not there yet"
	case task.NeverOpens:
		text = fmt.Sprintf("never due: priority %d is above the period's %d cycles", task.Priority, conf.PeriodLength)
	case task.Running:
		text = "its command is running"
	case task.Waits != "":
		text += ", " + task.Waits
	case task.Have == task.Of:
		text = "complete, waiting to be run"
	}
	if task.Problem != "" {
		text += "; last problem: " + task.Problem
	}
	return text
}
