package link

import (
	"net"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"enjambre/peer/id"
)

// TestTimes: the least of the last few measurements counts, at the address where the member is now.
func TestTimes(t *testing.T) {
	g := &Gossip{host: &Host{self: id.Peer{9}}, there: map[id.Peer]*heard{}}
	node := &memberlist.Node{Name: id.Peer{1}.String(), Addr: net.IPv4(192, 0, 2, 1), Port: 4901}
	g.NotifyPingComplete(node, time.Millisecond, nil)
	if got := g.Members(); len(got) != 0 {
		t.Fatalf("who is not there is noted: %+v", got)
	}
	g.NotifyJoin(node)
	if got := g.Members(); len(got) != 1 || got[0].RTT != 0 {
		t.Fatalf("before it was measured: %+v", got)
	}
	for i, step := range []struct{ measured, want time.Duration }{
		{5, 5}, {3, 3}, {80, 3}, {7, 3}, {6, 3}, {9, 6}, {9, 6}, {9, 6}, {9, 9}, {0, 1}, {-4, 1},
	} {
		g.NotifyPingComplete(node, step.measured, nil)
		if got := g.Members()[0].RTT; got != step.want {
			t.Errorf("measurement %d: got %v, want %v", i, got, step.want)
		}
	}
	node.Meta = []byte("new")
	g.NotifyUpdate(node)
	if got := g.Members()[0]; got.RTT != 1 || string(got.Meta) != "new" {
		t.Errorf("after it has said something else: %+v", got)
	}
	node.Addr = net.IPv4(192, 0, 2, 2)
	g.NotifyUpdate(node)
	if got := g.Members()[0]; got.RTT != 0 || got.Address.Addr().String() != "192.0.2.2" {
		t.Errorf("after it has moved: %+v", got)
	}
	g.NotifyPingComplete(node, 4, nil)
	g.NotifyLeave(node)
	g.NotifyJoin(node)
	if got := g.Members()[0].RTT; got != 0 {
		t.Errorf("after it was away: %v", got)
	}
	node.Name = "nobody"
	g.NotifyPingComplete(node, 4, nil) // nothing to note, nothing to fall over
}
