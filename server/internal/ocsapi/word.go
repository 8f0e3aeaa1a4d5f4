package ocsapi

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"enjambre/core"
	"enjambre/peer/id"
	"enjambre/peer/ticket"
	"enjambre/server/internal/site"
	"enjambre/server/internal/store"
)

// freshEpoch is how long the same signed epoch is given to all who ask: signatures cost more than the rest of an
// answer, and news is taken for fresh for minutes. The number itself is read for each answer.
const freshEpoch = 5 * time.Second

// A signer says the server's words about sites: tickets and epochs. Safe for concurrent use.
type signer struct {
	deployment string
	online     func() (ed25519.PrivateKey, [][]byte) // nil: nothing is signed

	mu      sync.Mutex // guards both; not held while something is signed
	epochs  map[core.SiteName]signedEpoch
	notices map[core.SiteName]signedNotice
}

// A signedNotice is a notice with the key that signed it.
type signedNotice struct {
	ticket.Notice
	key  ed25519.PrivateKey
	data []byte
}

// A signedEpoch is an epoch with the key that signed it.
type signedEpoch struct {
	ticket.Epoch
	key  ed25519.PrivateKey
	data []byte
}

func newSigner(deployment string, online func() (ed25519.PrivateKey, [][]byte)) *signer {
	return &signer{deployment: deployment, online: online, epochs: map[core.SiteName]signedEpoch{},
		notices: map[core.SiteName]signedNotice{}}
}

// keys returns the key that signs, nil if there is none, and those that verify.
func (s *signer) keys() (ed25519.PrivateKey, [][]byte) {
	if s.online == nil {
		return nil, nil
	}
	return s.online()
}

// ticket returns a member's ticket, signed.
func (s *signer) ticket(key ed25519.PrivateKey, member id.Peer, at core.SiteName, epoch uint64,
	now time.Time) ([]byte, error) {
	said := ticket.Ticket{Deployment: s.deployment, Site: at, Peer: member, Epoch: epoch, Issued: now}
	data, err := said.Sign(key)
	if err != nil {
		return nil, fmt.Errorf("site ticket: %w", err)
	}
	return data, nil
}

// epoch returns a site's epoch, signed now or a moment ago. Nobody may change it.
func (s *signer) epoch(key ed25519.PrivateKey, at core.SiteName, number uint64, now time.Time) ([]byte, error) {
	s.mu.Lock()
	known := s.epochs[at]
	s.mu.Unlock()
	age := now.Sub(known.Issued)
	if known.Number == number && age >= 0 && age < freshEpoch && known.key.Equal(key) {
		return known.data, nil
	}
	said := signedEpoch{Epoch: ticket.Epoch{Number: number, Issued: now}, key: key}
	var err error
	if said.data, err = said.Sign(key, s.deployment, at); err != nil {
		return nil, fmt.Errorf("epoch of site %s: %w", at, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.epochs[at]; !known && len(s.epochs) >= site.MaxSites {
		clear(s.epochs) // there are no more sites, so this does not happen
	}
	s.epochs[at] = said
	return said.data, nil
}

// notice returns a site's notice, signed: as it was before, if it says the same. Nobody may change it.
func (s *signer) notice(key ed25519.PrivateKey, at core.SiteName, notice ticket.Notice) ([]byte, error) {
	s.mu.Lock()
	known := s.notices[at]
	s.mu.Unlock()
	if known.Equal(notice) && known.key.Equal(key) {
		return known.data, nil
	}
	notice.Issued = notice.Issued.Truncate(time.Second)
	if known.Number == notice.Number && !notice.Issued.After(known.Issued) { // members go by it
		notice.Issued = known.Issued.Add(time.Second)
	}
	said := signedNotice{Notice: notice, key: key}
	var err error
	if said.data, err = said.Sign(key, s.deployment, at); err != nil {
		return nil, fmt.Errorf("notice of site %s: %w", at, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.notices[at]; !known && len(s.notices) >= site.MaxSites {
		clear(s.notices) // there are no more sites, so this does not happen
	}
	s.notices[at] = said
	return said.data, nil
}

// notice returns how members of a site are to take its news, signed.
func (h *Handler) notice(ctx context.Context, key ed25519.PrivateKey, at core.SiteName, number uint64, voids store.Voids,
	now time.Time) ([]byte, error) {
	spread, err := h.news.spread(ctx, at, number)
	if err != nil {
		return nil, err
	}
	return h.words.notice(key, at, ticket.Notice{
		Number: number, Issued: now, Spread: spread, Floor: voids.Floor, Voids: voids.List,
	})
}

// originOf returns host:port of the server as a request over HTTPS names it: the address by which an agent reached
// and verified it. It returns "" for what no agent could call, such as an address that needs a zone.
func originOf(host string) string {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), "443"
	}
	number, err := strconv.Atoi(port)
	if err != nil || number < 1 || number > 65535 || strconv.Itoa(number) != port || !isHost(name) {
		return ""
	}
	return net.JoinHostPort(name, port)
}

// maxHost is the length of the longest DNS name.
const maxHost = 253

// isHost reports whether text is an address that means the same on every computer, or looks like a DNS name.
func isHost(text string) bool {
	if address, err := netip.ParseAddr(text); err == nil {
		return address.Zone() == "" && !address.IsUnspecified() && !address.IsMulticast() &&
			(address.Is4() || !address.IsLinkLocalUnicast())
	}
	for _, r := range text {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.' {
			return false
		}
	}
	return text != "" && len(text) <= maxHost
}
