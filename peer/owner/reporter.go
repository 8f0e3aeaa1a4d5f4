package owner

import (
	"time"

	"enjambre/core"
	"enjambre/peer/id"
)

// ReporterSilence is how long a site hears nothing of its reporter before the next one reports.
const ReporterSilence = 30 * time.Second

// Reporters returns a site's members in the order in which they report for it: while the first does, no other
// needs to. Members of weight 0 never report for others. The secret and the members are as in [NewTable].
func Reporters(site core.SiteName, secret []byte, members []Member) []id.Peer {
	return rank(seeded(tableSeed("reporter", string(site), secret), members), 0)
}

// Reporter returns who should report now, silence after the site heard the last report: the first of the
// order, the next after ReporterSilence, and so on, and after the last the first again. It returns false for
// an empty order: then each member asks for news itself.
func Reporter(order []id.Peer, silence time.Duration) (id.Peer, bool) {
	if len(order) == 0 {
		return id.Peer{}, false
	}
	turns := int64(max(0, silence) / ReporterSilence)
	return order[turns%int64(len(order))], true
}
