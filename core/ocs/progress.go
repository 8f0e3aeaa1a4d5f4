package ocs

import (
	"encoding/base64"

	"enjambre/core"
	"enjambre/core/internal/strictxml"
)

// MaxEpoch bounds a signed epoch that comes with a ProgressReply, in bytes; those of peer/ticket have 113.
const MaxEpoch = 256

// A ProgressReply is a server's answer to PROGRESS from an enrolled agent: what is new at its site. Agents that have
// none, and all agents of a server that knows of no epochs, are answered with nothing, which is the zero
// ProgressReply.
type ProgressReply struct {
	Epoch []byte // of the site, signed, see peer/ticket; at most MaxEpoch bytes, nil: nothing is said
}

// Append appends the reply; of the zero ProgressReply, nothing.
func (r ProgressReply) Append(to []byte) []byte {
	if len(r.Epoch) == 0 {
		return to
	}
	to = append(to, strictxml.Declaration...)
	to = append(to, "<REPLY>\n"...)
	to = strictxml.AppendElement(to, 1, "EPOCH", base64.StdEncoding.EncodeToString(r.Epoch))
	return append(to, "</REPLY>\n"...)
}

// ParseProgressReply reads a server's answer to PROGRESS, also an empty one.
func ParseProgressReply(document []byte) (ProgressReply, error) {
	if len(document) == 0 {
		return ProgressReply{}, nil
	}
	root, _, err := parseReply(document, replyLimits)
	if err != nil {
		return ProgressReply{}, err
	}
	fields := blobs{from: root}
	reply := ProgressReply{Epoch: fields.bytes("EPOCH")}
	if fields.err == nil && len(reply.Epoch) > MaxEpoch {
		return ProgressReply{}, core.Refuse(core.ClassLimit, "an epoch of %d bytes: at most %d are allowed",
			len(reply.Epoch), MaxEpoch)
	}
	if fields.err != nil {
		return ProgressReply{}, fields.err
	}
	return reply, nil
}
