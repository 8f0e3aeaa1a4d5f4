package link

import (
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
)

// receiveBytes bounds what all connections may have in their receive windows.
const receiveBytes = 16 << 20

// newLimits bounds connections, streams and memory, in all and for each member. Half of the connections may be ones
// that others have opened.
func newLimits() (network.ResourceManager, error) {
	all := rcmgr.ResourceLimits{
		Conns: MaxPeers, ConnsInbound: MaxPeers / 2, ConnsOutbound: MaxPeers, FD: rcmgr.Unlimited,
		Streams: MaxPeers * MaxStreams, StreamsInbound: MaxPeers * MaxStreams, StreamsOutbound: MaxPeers * MaxStreams,
		Memory: receiveBytes,
	}
	one := rcmgr.ResourceLimits{
		Conns: 2, ConnsInbound: 2, ConnsOutbound: 2, FD: rcmgr.Unlimited,
		Streams: MaxStreams, StreamsInbound: MaxStreams, StreamsOutbound: MaxStreams, Memory: receiveBytes,
	}
	limits := rcmgr.PartialLimitConfig{System: all, Transient: all, PeerDefault: one}
	// Nobody reads its metrics, which are counted at each stream and each change of a window.
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.Build(rcmgr.InfiniteLimits)), rcmgr.WithMetricsDisabled())
}
