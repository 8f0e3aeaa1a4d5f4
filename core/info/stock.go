package info

import "enjambre/core"

// A Stock is an info file of a stock OCS server: what it says to any agent, and no more. Its digest is
// whatever algorithm the administrator chose and covers the whole archive.
type Stock struct {
	ID              core.PackageID
	Priority        core.Priority
	Action          core.Action
	Target          string
	Digest          string // as written
	DigestAlgorithm string // such as MD5 or SHA1
	DigestEncoding  string // Hexa or Base64
	Protocol        Protocol
	Fragments       int // 0 to core.MaxFragments
	Notice          Notice
	Completion      string
}

// ParseStock reads an info file as stock servers write it: attributes in any order, unknown ones
// ignored, PROTO absent means HTTP. The XML must be well formed all the same.
func ParseStock(document []byte) (*Stock, error) {
	f, err := read(document)
	if err != nil {
		return nil, err
	}
	stock := &Stock{
		Digest:          f.text("DIGEST"),
		DigestAlgorithm: f.text("DIGEST_ALGO"),
		DigestEncoding:  f.text("DIGEST_ENCODE"),
		Protocol:        HTTP,
		Fragments:       int(f.number("FRAGS", -1, core.MaxFragments)),
	}
	if f.text("PROTO") == string(HTTPS) {
		stock.Protocol = HTTPS
	}
	f.common(&stock.ID, &stock.Priority, &stock.Action, &stock.Target)
	if f.text("NOTIFY_COUNTDOWN") == "" { // the stock default, 120 s, is an agent's matter
		f.drop("NOTIFY_COUNTDOWN")
	}
	stock.Notice, stock.Completion = f.notice()
	if stock.Notice.MayDelay {
		stock.Notice.MaxDelays = DefaultMaxDelays
	}
	return stock, f.err
}

// drop forgets an attribute.
func (f *fields) drop(name string) {
	for i, attribute := range f.root.Attributes {
		if attribute.Name == name {
			f.root.Attributes = append(f.root.Attributes[:i], f.root.Attributes[i+1:]...)
			return
		}
	}
}
