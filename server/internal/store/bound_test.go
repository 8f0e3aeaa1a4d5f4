package store

import (
	"fmt"
	"testing"
	"time"

	"enjambre/core/seal"
)

// TestAddressesAreBounded: notifications of a stock agent, which anybody can pretend to be, name as many
// adapters as they like; what is kept of one computer has a bound all the same.
func TestAddressesAreBounded(t *testing.T) {
	f := newFixture(t)
	a := f.computer("a")
	for message := range 4 {
		var adapters []Address
		for i := range 100 {
			adapters = append(adapters, Address{IP: "10.0.0.1", MAC: fmt.Sprintf("02:00:00:00:%02x:%02x", message, i)})
		}
		f.check(f.SaveAddresses(f.ctx(), Stock(a), adapters, now))
	}
	view, err := f.Computer(f.ctx(), a)
	f.check(err)
	f.want("addresses kept", len(view.Addresses), MaxAddresses)
	// Known adapters are brought up to date even when there is no room for new ones.
	f.check(f.SaveAddresses(f.ctx(), Stock(a), []Address{{"10.9.9.9", view.Addresses[0].MAC}}, now))
	after, err := f.Computer(f.ctx(), a)
	f.check(err)
	f.want("a known adapter's new address", after.Addresses[0].IP, "10.9.9.9")
}

// TestRevokedKeyGetsNothingForNothing: an agent may show its token again when its answer got lost, but not
// once its key has lost the computer, by whatever way.
func TestRevokedKeyGetsNothingForNothing(t *testing.T) {
	for name, lose := range map[string]func(f fixture){
		"its computer was deleted": func(f fixture) { f.check(f.DeleteComputer(f.ctx(), device("pc"), now)) },
		"another key took over, and was revoked too": func(f fixture) {
			_, err := f.Enrol(f.ctx(), Enrolment{Token: "other", Device: device("pc"), Key: seal.KeyID{9}}, now)
			f.check(err)
			f.check(f.Revoke(f.ctx(), device("pc"), now))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			for _, token := range []string{"one", "other"} {
				f.check(f.AddToken(f.ctx(), token, Token{Uses: 1, Expires: now.Add(time.Hour)}, now))
			}
			mine := Enrolment{Token: "one", Device: device("pc"), Key: seal.KeyID{1}}
			_, err := f.Enrol(f.ctx(), mine, now)
			f.check(err)
			f.check(f.Revoke(f.ctx(), device("pc"), now))
			lose(f)
			_, err = f.Enrol(f.ctx(), mine, now)
			wantIs(t, err, ErrTokenUsed)
		})
	}
}
