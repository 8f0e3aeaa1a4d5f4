package nearby

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"enjambre/core"
	"enjambre/peer/id"
)

// version is that of what an announcement says. Others are not understood.
const version = "1"

// Bounds of a TXT record.
const (
	maxTexts     = 8   // strings
	maxTextBytes = 255 // of all of them
)

// A Tag tells swarms apart that share a broadcast domain. It proves nothing: who knows or guesses the names can make
// it.
type Tag [8]byte

// TagOf returns the tag of a site's swarm.
func TagOf(deployment string, site core.SiteName) Tag {
	sum := sha256.Sum256(fmt.Appendf(nil, "enjambre/nearby/1\n%d %s\n%d %s\n",
		len(deployment), deployment, len(site), site))
	return Tag(sum[:len(Tag{})])
}

// String returns it in 16 lower-case hex digits.
func (t Tag) String() string { return hex.EncodeToString(t[:]) }

// texts returns the strings of a TXT record: v the version, id the peer ID, s the swarm's tag.
func texts(who id.Peer, tag Tag) []string {
	return []string{"v=" + version, "id=" + who.String(), "s=" + tag.String()}
}

// parseTexts reads the strings of a TXT record. As DNS-SD has it, keys are in any case, the first of equal ones counts,
// and others than ours are not looked at. Refusals are of class E_FIELD, E_VERSION, E_IDENT or E_LIMIT.
func parseTexts(texts []string) (id.Peer, Tag, error) {
	if len(texts) > maxTexts {
		return id.Peer{}, Tag{}, core.Refuse(core.ClassLimit, "%d strings in a TXT record: at most %d", len(texts), maxTexts)
	}
	total, values := 0, map[string]string{}
	for _, text := range texts {
		if total += len(text); total > maxTextBytes {
			return id.Peer{}, Tag{}, core.Refuse(core.ClassLimit, "a TXT record of more than %d bytes", maxTextBytes)
		}
		key, value, _ := strings.Cut(text, "=")
		key = strings.ToLower(key)
		if _, isThere := values[key]; !isThere {
			values[key] = value
		}
	}
	if values["v"] != version {
		return id.Peer{}, Tag{}, core.Refuse(core.ClassVersion, "version %q of announcements is not known", values["v"])
	}
	who, err := id.Parse(values["id"])
	if err != nil {
		return id.Peer{}, Tag{}, err
	}
	var tag Tag
	digits := values["s"]
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != len(tag) || digits != strings.ToLower(digits) {
		return id.Peer{}, Tag{}, core.Refuse(core.ClassField, "%.40q is no tag of a swarm", digits)
	}
	copy(tag[:], raw)
	return who, tag, nil
}
