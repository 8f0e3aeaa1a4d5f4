package store

import (
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
)

// TestTrusting counts who was seen lately and trusts what it must.
func TestTrusting(t *testing.T) {
	f := newFixture(t)
	old, both := core.DigestOf([]byte("old")), core.DigestOf([]byte("both"))
	seen := func(name string, trusts core.Digest, at time.Time) Caller {
		t.Helper()
		agent := f.enrolled(name)
		f.check(f.Touch(f.ctx(), []Touch{{Device: agent.Device, At: at, Prolog: ocs.Prolog{Trusts: trusts}}}))
		return agent
	}
	later := now.Add(TrustPeriod)
	f.computer("stock") // cannot be told, and is not counted
	seen("silent", core.Digest{}, now.Add(time.Hour))
	seen("old", old, now.Add(time.Hour))
	learnt := seen("learnt", both, now.Add(time.Hour))
	seen("gone", old, now)
	revoked := seen("revoked", old, now.Add(time.Hour))
	f.check(f.Revoke(f.ctx(), revoked.Device, now))
	want := func(want TrustCount, sets ...core.Digest) {
		t.Helper()
		got, err := f.Trusting(f.ctx(), sets, later)
		f.check(err)
		f.want("count", got, want)
	}
	want(TrustCount{3, 2}, both)
	want(TrustCount{3, 1}, both, old, both)
	want(TrustCount{3, 3})
	f.check(f.Touch(f.ctx(), []Touch{{Device: learnt.Device, At: later}})) // another message says nothing
	want(TrustCount{3, 2}, both)
}
