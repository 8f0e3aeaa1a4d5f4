package nearby

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"enjambre/core"
)

// service is the DNS-SD service type.
const service = "_enjambre._udp.local."

// Bounds of messages.
const (
	maxMessage   = 1500             // bytes; ours have about 300
	maxRecords   = 64               // that are looked at
	maxAddresses = 4                // in one message
	keepTime     = 15 * time.Minute // that an announcement counts
)

// cacheFlush is the bit of a record's class that says: this is all there is of it. In a question the same bit asks for
// a unicast answer, which is not given.
const cacheFlush = 1 << 15

// An announcement is what an agent says of itself.
type announcement struct {
	Place Place
	Tag   Tag
	TTL   time.Duration // that it counts; 0: the agent goes
}

// names returns the names of the instance and of its host: both are made of the peer ID, so that none says more.
func (a announcement) names() (instance, host dnsmessage.Name, err error) {
	instance, err = dnsmessage.NewName(a.Place.ID.String() + "." + service)
	if err == nil {
		host, err = dnsmessage.NewName(a.Place.ID.String() + ".local.")
	}
	return instance, host, err
}

// message returns the announcement as a message: PTR, SRV, TXT, and A or AAAA.
func (a announcement) message() ([]byte, error) {
	instance, host, err := a.names()
	if err != nil {
		return nil, err
	}
	header := func(name dnsmessage.Name, class dnsmessage.Class) dnsmessage.ResourceHeader {
		return dnsmessage.ResourceHeader{Name: name, Class: class, TTL: uint32(a.TTL / time.Second)}
	}
	const alone = dnsmessage.ClassINET | cacheFlush
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{Response: true, Authoritative: true})
	b.EnableCompression()
	err = errors.Join(
		b.StartAnswers(),
		b.PTRResource(header(dnsmessage.MustNewName(service), dnsmessage.ClassINET), dnsmessage.PTRResource{PTR: instance}),
		b.SRVResource(header(instance, alone), dnsmessage.SRVResource{Port: a.Place.Address.Port(), Target: host}),
		b.TXTResource(header(instance, alone), dnsmessage.TXTResource{TXT: texts(a.Place.ID, a.Tag)}))
	if address := a.Place.Address.Addr(); address.Is4() {
		err = errors.Join(err, b.AResource(header(host, alone), dnsmessage.AResource{A: address.As4()}))
	} else {
		err = errors.Join(err, b.AAAAResource(header(host, alone), dnsmessage.AAAAResource{AAAA: address.As16()}))
	}
	if err != nil {
		return nil, err
	}
	return b.Finish()
}

// question returns the message that asks who is there. Nobody looks at its number but who asks, to know it again.
func question(number uint16) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: number})
	err := errors.Join(b.StartQuestions(), b.Question(dnsmessage.Question{
		Name: dnsmessage.MustNewName(service), Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET,
	}))
	if err != nil {
		return nil, err
	}
	return b.Finish()
}

// A heard is what of a message concerns us.
type heard struct {
	asks   bool   // who is there
	number uint16 // of the question
	said   *announcement
}

// parseMessage reads a message; false for one that is malformed or does not concern us.
func parseMessage(data []byte) (heard, bool) {
	var p dnsmessage.Parser
	header, err := p.Start(data)
	if err != nil || header.OpCode != 0 || header.RCode != dnsmessage.RCodeSuccess {
		return heard{}, false
	}
	if !header.Response {
		asks := isAsked(&p)
		return heard{asks: asks, number: header.ID}, asks
	}
	if p.SkipAllQuestions() != nil {
		return heard{}, false
	}
	said, err := parseAnnouncement(&p)
	return heard{said: &said}, err == nil
}

// isAsked reports whether one of the questions is for our service.
func isAsked(p *dnsmessage.Parser) bool {
	for range maxRecords {
		q, err := p.Question()
		if err != nil {
			return false // the section's end, or malformed
		}
		isType := q.Type == dnsmessage.TypePTR || q.Type == dnsmessage.TypeALL
		if isType && q.Class&^cacheFlush == dnsmessage.ClassINET && strings.EqualFold(q.Name.String(), service) {
			return true
		}
	}
	return false
}

// records are those of a message that concern us, the first of each.
type records struct {
	instance, host string // of SRV
	port           uint16
	ttl            uint32
	hasText        bool
	textOf         string
	texts          []string
	addresses      []named // at most maxAddresses
}

// A named is an address record.
type named struct {
	name    string
	address netip.Addr
}

// parseAnnouncement reads the records of an answer: a whole announcement must be in one message, as ours are.
func parseAnnouncement(p *dnsmessage.Parser) (announcement, error) {
	var r records
	err := r.read(p, p.AnswerHeader, p.SkipAnswer)
	if err == nil {
		err = p.SkipAllAuthorities()
	}
	if err == nil {
		err = r.read(p, p.AdditionalHeader, p.SkipAdditional)
	}
	if err != nil {
		return announcement{}, err
	}
	return r.announcement()
}

// read reads a section.
func (r *records) read(p *dnsmessage.Parser, next func() (dnsmessage.ResourceHeader, error), skip func() error) error {
	for range maxRecords {
		header, err := next()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return nil
		}
		if err == nil {
			err = r.readOne(p, header, skip)
		}
		if err != nil {
			return err
		}
	}
	return core.Refuse(core.ClassLimit, "more than %d records", maxRecords)
}

func (r *records) readOne(p *dnsmessage.Parser, header dnsmessage.ResourceHeader, skip func() error) error {
	name := header.Name.String()
	switch {
	case header.Class&^cacheFlush != dnsmessage.ClassINET:
	case header.Type == dnsmessage.TypeSRV && r.instance == "" && isInstance(name):
		record, err := p.SRVResource()
		r.instance, r.host, r.port, r.ttl = name, record.Target.String(), record.Port, header.TTL
		return err
	case header.Type == dnsmessage.TypeTXT && !r.hasText && isInstance(name):
		record, err := p.TXTResource()
		r.hasText, r.textOf, r.texts = true, name, record.TXT
		return err
	case header.Type == dnsmessage.TypeA && len(r.addresses) < maxAddresses:
		record, err := p.AResource()
		r.addresses = append(r.addresses, named{name, netip.AddrFrom4(record.A)})
		return err
	case header.Type == dnsmessage.TypeAAAA && len(r.addresses) < maxAddresses:
		record, err := p.AAAAResource()
		r.addresses = append(r.addresses, named{name, netip.AddrFrom16(record.AAAA)})
		return err
	}
	return skip()
}

// isInstance reports whether a name is one of our service's instances.
func isInstance(name string) bool {
	at := len(name) - len(service) - 1
	return at > 0 && name[at] == '.' && strings.EqualFold(name[at+1:], service)
}

// announcement returns what the records say together.
func (r *records) announcement() (announcement, error) {
	if r.instance == "" || !strings.EqualFold(r.textOf, r.instance) {
		return announcement{}, core.Refuse(core.ClassField, "no SRV and TXT record of one instance")
	}
	who, tag, err := parseTexts(r.texts)
	if err != nil {
		return announcement{}, err
	}
	for _, one := range r.addresses {
		if strings.EqualFold(one.name, r.host) {
			ttl := min(time.Duration(r.ttl)*time.Second, keepTime)
			return announcement{Place{who, netip.AddrPortFrom(one.address, r.port)}, tag, ttl}, nil
		}
	}
	return announcement{}, core.Refuse(core.ClassField, "no address of the instance's host")
}
