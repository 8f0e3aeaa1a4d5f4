package ocs

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/netip"

	"enjambre/core"
	"enjambre/core/internal/strictxml"
)

// Bounds of the extensions' lists; more is refused with E_LIMIT.
const (
	MaxMembers = 64 // of one SWARM option; a server hands out 3 to 5
	MaxKeys    = 8  // gossip keys valid at once, and online keys
	MaxPolicy  = 32 // values of a site's policy
	maxBlob    = 8 << 10
)

// A Swarm is the SWARM option of a PROLOG reply to an enrolled agent: what it needs to know of its site,
// and to join the site's swarm where there is one. Its PARAMs have the types SITE, MEMBER, KEY, ONLINE_KEY,
// POLICY, INFO and AUTHORITY, one each per value below; TICKET, EPOCH and NOTICE stand with the site.
type Swarm struct {
	Site    core.SiteName // "" for a computer without site
	Origin  string        // host:port of the origin that grants leases; "" when none does
	Ticket  []byte        // the server's signed word that the agent is at the site today, see peer/ticket
	Epoch   []byte        // and on what is new there
	Notice  []byte        // and on how its members are to take that; nil: from servers that say nothing of it
	Members []Member
	Keys    []GossipKey
	Policy  []Field // by name, such as PolicyPace=rate or PolicyContactSeconds=3600
	Infos   []InfoDigest

	// OnlineKeys are the raw Ed25519 public keys by which tickets and epochs are verified: today's and, while it is
	// replaced, the former one.
	OnlineKeys [][]byte

	// Authorities are all certificates that the agent is to verify the server with from now on, in DER, at most
	// MaxAuthorities: those of today and those of the next cacert.pem. They come only to an agent whose
	// Prolog.Trusts names another set. The agent replaces its own by them, once it has found that the
	// certificate the server showed for this very reply verifies with them; else it keeps what it has.
	Authorities [][]byte
}

// PolicyContactSeconds names the policy that says how many seconds an enrolled agent leaves between its
// contacts, in decimal digits. PROLOG_FREQ, whose unit is an hour, is for stock agents.
const PolicyContactSeconds = "CONTACT_SECONDS"

// PolicyPace names the policy that says what paces a site's members when they ask the origin: "latency", the schedule's
// FRAG_LATENCY, or "rate", the origin alone, which keeps the site's WAN rate for all of them together.
const PolicyPace = "PACE"

// PaceByRate is the value of PolicyPace by which the origin alone keeps the site's rate.
const PaceByRate = "rate"

// A Member is an agent to join: its peer ID and where it listens.
type Member struct {
	ID      string
	Address netip.AddrPort
	Also    netip.AddrPort // of the other family; zero: it has one. Agents that do not know the attribute leave it out
}

// A GossipKey encrypts a site's gossip from its epoch on; the first of a list is the one to use.
type GossipKey struct {
	Epoch int
	Key   []byte
}

// An InfoDigest pins the info file of a package that the reply lists. Digest is the SHA-256 of the payload
// of the sealed file ID/info.dsse: the info file in its canonical form, which is also what ID/info holds
// byte for byte. It is not the digest of the sealed file itself, whose signatures may be renewed.
type InfoDigest struct {
	Package core.PackageID
	Digest  core.Digest

	// Elsewhere says that the package's fragments are plain files on another web server, that of its PACK_LOC: Swarm.Origin
	// is not asked for them. Agents that do not know the attribute ask it all the same.
	Elsewhere bool

	// Priority is the package's, as its info file says too, so that an agent knows what is more urgent before it has
	// the info files of all. Ranked is false where a server does not say it.
	Priority core.Priority
	Ranked   bool
}

func (s Swarm) append(to []byte) []byte {
	to = append(to, "  <OPTION>\n"...)
	to = strictxml.AppendElement(to, 2, "NAME", "SWARM")
	param := func(attributes ...string) {
		to = append(to, "    <PARAM"...)
		for i := 0; i < len(attributes); i += 2 {
			to = strictxml.AppendAttribute(to, attributes[i], attributes[i+1])
		}
		to = append(to, " />\n"...)
	}
	encode := base64.StdEncoding.EncodeToString
	site := []string{"TYPE", "SITE", "NAME", string(s.Site), "ORIGIN", s.Origin, "TICKET", encode(s.Ticket),
		"EPOCH", encode(s.Epoch)}
	if len(s.Notice) > 0 {
		site = append(site, "NOTICE", encode(s.Notice))
	}
	param(site...)
	for _, member := range s.Members {
		attributes := []string{"TYPE", "MEMBER", "ID", member.ID, "ADDRESS", member.Address.String()}
		if member.Also.IsValid() {
			attributes = append(attributes, "ALSO", member.Also.String())
		}
		param(attributes...)
	}
	for _, key := range s.Keys {
		to = append(to, `    <PARAM TYPE="KEY"`...)
		to = appendNumber(to, "EPOCH", key.Epoch)
		to = strictxml.AppendAttribute(to, "KEY", encode(key.Key))
		to = append(to, " />\n"...)
	}
	for _, key := range s.OnlineKeys {
		param("TYPE", "ONLINE_KEY", "KEY", encode(key))
	}
	for _, policy := range s.Policy {
		param("TYPE", "POLICY", "NAME", policy.Name, "VALUE", policy.Value)
	}
	for _, info := range s.Infos {
		attributes := []string{"TYPE", "INFO", "ID", info.Package.String(), "DIGEST", info.Digest.String()}
		if info.Elsewhere {
			attributes = append(attributes, "ELSEWHERE", "1")
		}
		if info.Ranked {
			attributes = append(attributes, "PRIORITY", info.Priority.String())
		}
		param(attributes...)
	}
	for _, authority := range s.Authorities {
		param("TYPE", "AUTHORITY", "CERTIFICATE", encode(authority))
	}
	return append(to, "  </OPTION>\n"...)
}

func parseSwarm(option *strictxml.Element) (*Swarm, error) {
	swarm := &Swarm{}
	sited := false
	err := children(option, "PARAM", func(param *strictxml.Element) error {
		kind, _ := param.Attribute("TYPE")
		fields := blobs{from: param}
		switch kind {
		case "SITE":
			if sited {
				return core.Refuse(core.ClassXML, "option SWARM names two sites")
			}
			sited = true
			return swarm.readSite(&fields)
		case "MEMBER":
			return swarm.readMember(&fields)
		case "KEY":
			return swarm.readKey(&fields)
		case "ONLINE_KEY":
			return swarm.readOnlineKey(&fields)
		case "POLICY":
			swarm.Policy = append(swarm.Policy, Field{Name: fields.text("NAME"), Value: fields.text("VALUE")})
		case "INFO":
			return swarm.readInfo(&fields)
		case "AUTHORITY":
			return swarm.readAuthority(&fields)
		}
		return fields.err
	})
	if err != nil {
		return nil, err
	}
	return swarm, swarm.check(sited)
}

func (s *Swarm) readSite(fields *blobs) error {
	s.Origin, s.Ticket, s.Epoch = fields.text("ORIGIN"), fields.bytes("TICKET"), fields.bytes("EPOCH")
	s.Notice = fields.bytes("NOTICE")
	if name := fields.text("NAME"); name != "" {
		site, err := core.ParseSiteName(name)
		if err != nil {
			return err
		}
		s.Site = site
	}
	return fields.err
}

func (s *Swarm) readMember(fields *blobs) error {
	address, err := netip.ParseAddrPort(fields.text("ADDRESS"))
	if err != nil {
		return core.Refuse(core.ClassField, "address of a member: %v", err)
	}
	member := Member{ID: fields.text("ID"), Address: address}
	if also := fields.text("ALSO"); also != "" {
		if member.Also, err = netip.ParseAddrPort(also); err != nil {
			return core.Refuse(core.ClassField, "the other address of a member: %v", err)
		}
	}
	s.Members = append(s.Members, member)
	return fields.err
}

func (s *Swarm) readKey(fields *blobs) error {
	numbers := newNumbers(fields.from)
	s.Keys = append(s.Keys, GossipKey{Epoch: numbers.read("EPOCH", 0, 1<<31-1), Key: fields.bytes("KEY")})
	if numbers.err != nil {
		return numbers.err
	}
	return fields.err
}

func (s *Swarm) readOnlineKey(fields *blobs) error {
	key := fields.bytes("KEY")
	if fields.err == nil && len(key) != ed25519.PublicKeySize {
		return core.Refuse(core.ClassField, "an online key has %d bytes, want %d", len(key), ed25519.PublicKeySize)
	}
	s.OnlineKeys = append(s.OnlineKeys, key)
	return fields.err
}

func (s *Swarm) readInfo(fields *blobs) error {
	id, err := core.ParsePackageID(fields.text("ID"))
	if err != nil {
		return err
	}
	digest, err := core.ParseDigest(fields.text("DIGEST"))
	if err != nil {
		return err
	}
	elsewhere := fields.text("ELSEWHERE")
	if elsewhere != "" && elsewhere != "0" && elsewhere != "1" {
		return core.Refuse(core.ClassField, "ELSEWHERE is %q, want 0 or 1", elsewhere)
	}
	info := InfoDigest{Package: id, Digest: digest, Elsewhere: elsewhere == "1"}
	if text := fields.text("PRIORITY"); text != "" {
		if info.Priority, err = core.ParsePriority(text); err != nil {
			return err
		}
		info.Ranked = true
	}
	s.Infos = append(s.Infos, info)
	return fields.err
}

func (s *Swarm) readAuthority(fields *blobs) error {
	certificate := fields.bytes("CERTIFICATE")
	if fields.err == nil && len(certificate) == 0 {
		return core.Refuse(core.ClassField, "an authority without certificate")
	}
	s.Authorities = append(s.Authorities, certificate)
	return fields.err
}

// check holds the lists to their bounds.
func (s *Swarm) check(sited bool) error {
	switch {
	case !sited:
		return core.Refuse(core.ClassField, "option SWARM names no site")
	case len(s.Members) > MaxMembers,
		len(s.Keys) > MaxKeys,
		len(s.OnlineKeys) > MaxKeys,
		len(s.Policy) > MaxPolicy,
		len(s.Infos) > MaxPacks,
		len(s.Authorities) > MaxAuthorities:
		return core.Refuse(core.ClassLimit,
			"option SWARM has %d members, %d keys, %d online keys, %d policies, %d infos and %d authorities: at most %d, %d, "+
				"%d, %d, %d, %d", len(s.Members), len(s.Keys), len(s.OnlineKeys), len(s.Policy), len(s.Infos),
			len(s.Authorities), MaxMembers, MaxKeys, MaxKeys, MaxPolicy, MaxPacks, MaxAuthorities)
	}
	return nil
}

// blobs reads text and base64 fields of one element and keeps the first error.
type blobs struct {
	from *strictxml.Element
	err  error
}

func (b *blobs) text(name string) string {
	value, err := field(b.from, name)
	if err != nil && b.err == nil {
		b.err = err
	}
	return value
}

func (b *blobs) bytes(name string) []byte {
	text := b.text(name)
	if text == "" {
		return nil
	}
	data, err := base64.StdEncoding.Strict().DecodeString(text)
	if (err != nil || len(data) > maxBlob) && b.err == nil {
		b.err = core.Refuse(core.ClassField, "%s is not base64 of at most %d bytes", name, maxBlob)
	}
	return data
}
