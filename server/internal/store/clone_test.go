package store

import (
	"testing"
	"time"

	"enjambre/core/ocs"
	"enjambre/core/seal"
)

// TestLineageIsKept: what contacts say outlives the process, a token shown again changes nothing, and a new
// key begins anew.
func TestLineageIsKept(t *testing.T) {
	f := newFixture(t)
	agent := f.enrolled("pc")
	calls := func(from Caller, contact, last byte) bool {
		t.Helper()
		prolog := ocs.Prolog{Contact: ocs.ContactID{contact}}
		if last != 0 {
			prolog.Last = ocs.ContactID{last}
		}
		answer, err := f.Contact(f.ctx(), Call{Caller: from, Prolog: prolog}, now)
		f.check(err)
		f.check(f.Touch(f.ctx(), []Touch{{Device: from.Device, At: now, Prolog: prolog}}))
		return answer.Clone
	}
	for i, one := range [][2]byte{{1, 0}, {11, 1}, {21, 1}, {12, 11}, {22, 21}} {
		f.want("a clone yet", []any{i, calls(agent, one[0], one[1])}, []any{i, false})
	}
	f.want("the rival", calls(agent, 13, 12), true)
	f.want("the kept one", calls(agent, 23, 22), false)
	enrol := func(token string, key seal.KeyID) {
		t.Helper()
		_, err := f.Enrol(f.ctx(), Enrolment{Token: token, Device: agent.Device, Key: key, Certified: now}, now)
		f.check(err)
	}
	enrol("pc", seal.KeyID{9}) // the rival shows the token that was copied with it
	f.want("the rival after its old token", calls(agent, 14, 13), true)

	f.check(f.Revoke(f.ctx(), agent.Device, now))
	f.check(f.AddToken(f.ctx(), "new", Token{Site: "lyon", Uses: 1, Expires: now.Add(time.Hour)}, now))
	enrol("new", seal.KeyID{8})
	f.want("a new key", calls(Caller{agent.Device, seal.KeyID{8}.String()}, 1, 0), false)
	agents, err := f.Agents(f.ctx())
	f.check(err)
	f.want("cloned", agents[0].Cloned.IsZero(), true)

	since, err := f.KeepNext(f.ctx(), agent.Device)
	f.want("not cloned", []any{since.IsZero(), err}, []any{true, nil})
	_, err = f.KeepNext(f.ctx(), device("gone"))
	wantIs(t, err, ErrUnknownComputer)
	_, err = f.KeepNext(f.ctx(), f.computer("stock"))
	wantIs(t, err, ErrUnknownAgent)
}
