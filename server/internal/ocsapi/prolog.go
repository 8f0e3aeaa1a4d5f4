package ocsapi

import (
	"context"
	"net/netip"
	"strconv"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/peer/id"
	"enjambre/server/internal/setting"
	"enjambre/server/internal/store"
	"enjambre/server/internal/system"
)

// prolog answers PROLOG: what is affected to the computer, and what else its agent is told.
func (h *Handler) prolog(ctx context.Context, request *ocs.Request, from caller) ([]byte, error) {
	now := h.now()
	call := store.Call{Caller: from.Caller, Family: system.FamilyOfAgent(from.agent), Egress: from.egress}
	var err error
	if from.Key != "" {
		if call.Prolog, err = h.prologOf(request, from); err != nil {
			return nil, err
		}
	}
	contact, err := h.store.Contact(ctx, call, now)
	if err != nil {
		return nil, err
	}
	answer := ocs.PrologReply{
		Response:           ocs.Stop,
		PrologFreq:         contact.Settings.Get(setting.PrologFreq),
		InventoryOnStartup: contact.Settings.Get(setting.OnStartup) == 1,
	}
	touch := store.Touch{Device: from.Device, Query: ocs.QueryProlog, Agent: clipAgent(from.agent), At: now, Prolog: call.Prolog}
	if call.Prolog.Listen.IsValid() {
		touch.Again = time.Duration(contact.Settings.Get(setting.ContactSeconds)) * time.Second
		if touch.Peer, err = id.FromKey(from.public); err != nil {
			return nil, err
		}
	}
	if contact.Clone {
		h.log.Warn("identity used by several computers", "computer", from.Device, "contact", call.Prolog.Contact)
		answer.Cloned, answer.Reason = true, cloneReason
	} else if contact.Settings.Get(setting.Frequency) >= 0 { // with -1 a stock server sends no option at all
		if contact.Settings.InventoryDue(contact.Inventoried, now) || !contact.Known {
			answer.Response = ocs.Send
		}
		answer.Download = &ocs.Download{Conf: contact.Settings.Conf()}
		for _, offer := range contact.Offers {
			answer.Download.Packs = append(answer.Download.Packs, ocs.Pack{
				ID: offer.Package, InfoLocation: offer.InfoURL, FragmentsLocation: offer.FragmentsURL, Force: offer.Force,
			})
			touch.Offers = append(touch.Offers, offer.Package)
		}
	}
	if from.Key != "" && !contact.Clone {
		if answer.Swarm, err = h.swarmOf(ctx, contact, from, touch.Peer, now); err != nil {
			return nil, err
		}
		answer.Swarm.Authorities = h.authorities(call.Prolog.Trusts)
	}
	if err := h.note(ctx, touch); err != nil {
		return nil, err
	}
	return ocs.Encode(answer.Append(nil)), nil
}

// prologOf reads what an enrolled agent's PROLOG says. One that listens on a loopback address can be reached by its own
// computer only: unless it calls from there, it is served as one that does not listen.
func (h *Handler) prologOf(request *ocs.Request, from caller) (ocs.Prolog, error) {
	prolog, err := request.Prolog()
	if err == nil && prolog.Listen.Addr().IsLoopback() && !from.egress.IsLoopback() {
		h.log.Warn("LISTEN ignored: a loopback address reaches nobody but its own computer", "computer", from.Device,
			"listen", prolog.Listen, "from", from.egress)
		prolog.Listen, prolog.Also, prolog.Weight = netip.AddrPort{}, netip.AddrPort{}, 0
	}
	return prolog, err
}

// authorities returns what an agent is to trust that trusts something else now.
func (h *Handler) authorities(trusts core.Digest) [][]byte {
	if h.trust == nil || trusts == (core.Digest{}) {
		return nil
	}
	certificates, digest := h.trust()
	if digest == trusts {
		return nil
	}
	return certificates
}

// cloneReason is told to all computers with one identity but the one that is kept.
const cloneReason = "this identity is used by two computers, as after a disk image was copied; the other computer " +
	"keeps it, this one must enrol again with a new token (if it is this one that should keep it: stop the agent " +
	"of the other, then \"agent keep\" on the server)"

// swarmOf returns what an enrolled agent is told besides: its site, how often to call, and which info files
// and priorities its packages have. Where the site's swarm is on, also which origin grants leases, and what paces those
// who ask it.
// Fragments that another web server has come from there: whoever put one into a site did it to spare the WAN.
// A member, which listens, is told whom to join, by which keys, and the server's words about it and the site.
func (h *Handler) swarmOf(ctx context.Context, contact store.Contact, from caller, member id.Peer, now time.Time) (
	*ocs.Swarm, error) {
	swarm := &ocs.Swarm{Site: contact.Site, Members: contact.Members, Keys: contact.Keys, Policy: []ocs.Field{{
		Name:  ocs.PolicyContactSeconds,
		Value: strconv.Itoa(contact.Settings.Get(setting.ContactSeconds)),
	}}}
	for _, offer := range contact.Offers {
		swarm.Infos = append(swarm.Infos, ocs.InfoDigest{
			Package: offer.Package, Digest: offer.InfoDigest, Elsewhere: h.own != nil && !h.own(offer.FragmentsURL, from.origin),
			Priority: offer.Priority, Ranked: true,
		})
	}
	if swarm.Origin = from.origin; !contact.Swarm {
		swarm.Origin = ""
	}
	if swarm.Origin != "" {
		swarm.Policy = append(swarm.Policy, ocs.Field{Name: ocs.PolicyPace, Value: string(contact.Pace)})
	}
	key, public := h.words.keys()
	if contact.Epoch == 0 || key == nil {
		return swarm, nil
	}
	var err error
	if swarm.Ticket, err = h.words.ticket(key, member, contact.Site, contact.Epoch, now); err != nil {
		return nil, err
	}
	if swarm.Epoch, err = h.words.epoch(key, contact.Site, contact.Epoch, now); err != nil {
		return nil, err
	}
	if swarm.Notice, err = h.notice(ctx, key, contact.Site, contact.Epoch, contact.Voids, now); err != nil {
		return nil, err
	}
	swarm.OnlineKeys = public
	return swarm, nil
}
