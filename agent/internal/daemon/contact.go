package daemon

import (
	"context"
	"errors"
	"fmt"

	"enjambre/agent/internal/ledger"
	"enjambre/agent/internal/origin"
	"enjambre/agent/internal/plan"
	"enjambre/core"
	"enjambre/core/ocs"
)

// contact talks to the server.
func (d *daemon) contact(ctx context.Context, progress ocs.Progress) answer {
	reply, err := d.talker.Contact(ctx, progress)
	if err != nil { // it perhaps failed before the PROLOG, and a site goes on without its server
		d.listen(ctx, &ocs.Prolog{})
	}
	return func() plan.Event {
		d.shown.contact(d.clock.now(), err)
		d.learnTime()
		d.told(reply, err)
		if err != nil {
			d.options.Log.Warn("no contact with the server", "reason", err)
			d.contacted = err
			return plan.ContactFailed{}
		}
		if reply.Cloned {
			d.options.Log.Error("the server says that this agent is a copy of another; nothing runs until it is enrolled "+
				"anew (enjambre-agent enroll --anew)", "reason", reply.Reason)
			d.shown.contact(d.clock.now(), fmt.Errorf("a copy of another agent: %s", reply.Reason))
			d.contacted = errCopy
			return plan.Suspended{}
		}
		return d.answered(reply)
	}
}

// report sends results and progress.
func (d *daemon) report(ctx context.Context, progress ocs.Progress) answer {
	err := d.talker.Report(ctx, progress)
	return func() plan.Event {
		d.learnTime()
		if err != nil {
			d.options.Log.Warn("results are not acknowledged yet", "reason", err)
			if errors.Is(err, origin.ErrRefused) {
				d.refusals++
				d.undelivered = err
			}
			return plan.ReportFailed{}
		}
		d.refusals, d.undelivered = 0, nil
		return plan.ReportAnswered{Left: len(d.ledger.At(ledger.Ended))}
	}
}

// learnTime takes over the server's time. The first time since the start what was put off until then is seen to.
func (d *daemon) learnTime() {
	theirs, said := d.talker.Client().ServerTime()
	if !said {
		return
	}
	isFirst := !d.clock.isTold()
	if err := d.clock.learn(theirs); err != nil {
		d.options.Log.Warn("the time cannot be remembered", "reason", err)
	}
	if isFirst {
		d.redate()
		d.queue = append(d.queue, plan.TimeTold{})
	}
}

// answered makes of the server's answer what the plan needs.
func (d *daemon) answered(reply ocs.PrologReply) plan.Event {
	event := plan.ContactAnswered{Interval: intervalOf(reply), Left: len(d.ledger.At(ledger.Ended))}
	d.memory.Interval = event.Interval
	d.options.Log.Info("contact", "response", reply.Response)
	if reply.Download == nil {
		return event
	}
	conf := confOf(reply.Download.Conf)
	if err := conf.Validate(); err != nil {
		d.options.Log.Warn("the server's schedule is not used", "reason", err)
		return event
	}
	event.Conf, event.Partial = &conf, len(reply.Download.Packs) == ocs.MaxPacks
	event.Origin = d.originOf(reply.Swarm)
	d.memory.ExecTime = reply.Download.Conf.ExecutionTimeout
	infos := map[core.PackageID]ocs.InfoDigest{}
	if reply.Swarm != nil {
		for _, one := range reply.Swarm.Infos {
			infos[one.Package] = one
		}
	}
	for _, pack := range reply.Download.Packs {
		past, ended := pastOf(d.ledger.Last(pack.ID))
		info := infos[pack.ID]
		event.Offers = append(event.Offers, plan.Offer{
			Package: pack.ID, Force: pack.Force, InfoLocation: pack.InfoLocation,
			FragmentsLocation: pack.FragmentsLocation, InfoDigest: info.Digest,
			Priority: info.Priority, Ranked: info.Ranked, Elsewhere: info.Elsewhere, Past: past, Attempts: ended,
		})
	}
	return event
}

// errCopy ends a single contact.
var errCopy = errors.New("this agent is a copy of another; enrol it anew: enjambre-agent enroll --anew")
