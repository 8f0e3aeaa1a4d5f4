package store

import (
	"net/netip"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/seal"
)

// inventoried keeps a stock computer's inventory, which came from an address.
func (f fixture) inventoried(name, egress string, own ...string) core.DeviceID {
	f.Helper()
	facts := Facts{Computer: Computer{Device: device(name), Name: name, OS: "Debian", Family: core.Linux},
		Addresses: []Address{}, Egress: netip.MustParseAddr(egress)}
	for _, ip := range own {
		facts.Addresses = append(facts.Addresses, Address{IP: ip, MAC: "02:" + ip})
	}
	_, err := f.SaveInventory(f.ctx(), facts, "", now)
	f.check(err)
	return facts.Device
}

// TestStockByNetwork: a stock computer is at the site whose network has it as soon as its first inventory is here, and as
// soon as the site has the network; and it goes when the network does.
func TestStockByNetwork(t *testing.T) {
	f := newFixture(t)
	f.set("", "STOCK_AGENTS", 1)
	early := f.inventoried("early", "192.0.2.1", "10.1.0.7", "not an address", "172.17.0.1")
	f.want("no networks", f.at(early), " ")
	f.networks("lyon", "10.1.0.0/16")
	f.want("when the network is set", f.at(early), "lyon network 10.1.0.0/16")
	late := f.inventoried("late", "192.0.2.1", "10.1.0.8")
	f.want("with its first inventory", f.at(late), "lyon network 10.1.0.0/16")
	f.networks("paris", "203.0.113.7/32")
	outside := f.inventoried("outside", "203.0.113.7", "192.168.0.9")
	f.want("by the router's outside", f.at(outside), "paris network 203.0.113.7/32")
	f.networks("nice", "192.168.0.0/24")
	f.want("not by less than a contact tells", f.at(outside), "paris network 203.0.113.7/32")
	f.want("at its next contact", f.comes(Stock(outside), "203.0.113.7").Site, "nice")

	brest := core.SiteName("brest")
	f.check(f.SetComputer(f.ctx(), early, &brest, nil))
	f.networks("lyon")
	f.want("by hand, once the network is gone", f.at(early), "brest hand")
	f.want("nowhere, once the network is gone", f.at(late), " ")

	id := f.pkg(5)
	f.activate(id, "")
	report := f.affect(id, Selection{Query: mustQuery(t, "os = linux and site = nice")}, AffectOptions{})
	f.want("affected by site", report.Done, 1)
}

// TestStockIsNoMember: the site of a stock computer, which anybody may have chosen by an inventory in its name, opens
// nothing of the swarm: neither for its caller, nor for the agent that takes its record over.
func TestStockIsNoMember(t *testing.T) {
	f := newFixture(t)
	f.set("", "STOCK_AGENTS", 1)
	f.networks("lyon", "10.1.0.0/16")
	stock := f.inventoried("pc", "10.1.0.7", "10.1.0.7")
	contact := f.comes(Stock(stock), "10.1.0.7")
	if contact.Site != "lyon" || contact.Swarm || contact.Epoch != 0 || contact.Keys != nil || contact.Members != nil {
		t.Errorf("got %+v", contact)
	}
	f.check(f.AddToken(f.ctx(), "t", Token{Site: "paris", Uses: 1, Expires: now.Add(time.Hour)}, now))
	key := seal.KeyID{7}
	_, err := f.Enrol(f.ctx(), Enrolment{Token: "t", Device: stock, Key: key, Certified: now}, now)
	f.check(err)
	f.want("once it is enrolled", f.at(stock), "paris token")
	name, err := f.SiteOf(f.ctx(), Caller{stock, key.String()})
	f.check(err)
	f.want("for the origin", name, "paris")
}
