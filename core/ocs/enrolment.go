package ocs

import (
	"crypto/ed25519"
	"encoding/base64"
	"strconv"

	"enjambre/core"
	"enjambre/core/internal/strictxml"
)

// An Enrolment is an ENROLL request: a one-time token, and the certificate request that proves the
// agent holds the key it asks to have certified.
type Enrolment struct {
	Token   string // at most 256 bytes
	Request []byte // DER of a PKCS #10 request, at most 8 KiB
}

// Enrolment reads an ENROLL request.
func (r *Request) Enrolment() (Enrolment, error) {
	fields := blobs{from: r.root}
	enrolment := Enrolment{Token: fields.text("TOKEN"), Request: fields.bytes("CSR")}
	if fields.err == nil &&
		(enrolment.Token == "" || len(enrolment.Token) > 256 || len(enrolment.Request) == 0) {
		return Enrolment{}, core.Refuse(core.ClassField, "an enrolment needs TOKEN and CSR")
	}
	return enrolment, fields.err
}

// Append appends the ENROLL request.
func (e Enrolment) Append(to []byte, device core.DeviceID) []byte {
	to = append(to, strictxml.Declaration...)
	to = append(to, "<REQUEST"...)
	to = strictxml.AppendAttribute(to, "CSR", base64.StdEncoding.EncodeToString(e.Request))
	to = strictxml.AppendAttribute(to, "DEVICEID", string(device))
	to = strictxml.AppendAttribute(to, "QUERY", string(QueryEnroll))
	to = strictxml.AppendAttribute(to, "TOKEN", e.Token)
	return append(to, " />\n"...)
}

// Verbs of the reply to ENROLL.
const (
	Enrolled Response = "ENROLLED"
	Refused  Response = "REFUSED"
)

// MaxSigners is how many signing keys a deployment may have.
const MaxSigners = 16

// An EnrolmentReply is a server's answer to ENROLL: all that an agent must know for good, or the reason why
// it was refused, in which case the rest is empty.
type EnrolmentReply struct {
	Reason      string // "" when it was enrolled; at most 1 KiB
	Deployment  string
	Site        core.SiteName
	Certificate []byte   // of the agent, DER
	Authority   []byte   // the agent CA that signed it, DER
	Signers     []Signer // whose signatures on info files count; at least one
	Threshold   int      // how many owners must have signed
}

// A Signer is a key that may sign info files, and who holds it.
type Signer struct {
	Owner string
	Key   []byte // the 32 raw bytes of an Ed25519 public key
}

// Append appends the reply.
func (r EnrolmentReply) Append(to []byte) []byte {
	to = append(to, strictxml.Declaration...)
	to = append(to, "<REPLY>\n"...)
	if r.Reason != "" {
		to = strictxml.AppendElement(to, 1, "RESPONSE", string(Refused))
		to = strictxml.AppendElement(to, 1, "REASON", printable(r.Reason, MaxResultDetail))
		return append(to, "</REPLY>\n"...)
	}
	encode := base64.StdEncoding.EncodeToString
	to = strictxml.AppendElement(to, 1, "RESPONSE", string(Enrolled))
	to = strictxml.AppendElement(to, 1, "DEPLOYMENT", r.Deployment)
	to = strictxml.AppendElement(to, 1, "SITE", string(r.Site))
	to = strictxml.AppendElement(to, 1, "CERTIFICATE", encode(r.Certificate))
	to = strictxml.AppendElement(to, 1, "AUTHORITY", encode(r.Authority))
	to = strictxml.AppendElement(to, 1, "THRESHOLD", strconv.Itoa(r.Threshold))
	for _, signer := range r.Signers {
		to = append(to, "  <SIGNER"...)
		to = strictxml.AppendAttribute(to, "OWNER", signer.Owner)
		to = strictxml.AppendAttribute(to, "KEY", encode(signer.Key))
		to = append(to, " />\n"...)
	}
	return append(to, "</REPLY>\n"...)
}

// ParseEnrolmentReply reads a server's answer to ENROLL.
func ParseEnrolmentReply(document []byte) (EnrolmentReply, error) {
	root, response, err := parseReply(document, replyLimits)
	if err != nil {
		return EnrolmentReply{}, err
	}
	fields, numbers := blobs{from: root}, newNumbers(root)
	if response == Refused {
		reason := printable(fields.text("REASON"), MaxResultDetail)
		if reason == "" {
			reason = "the server gives no reason"
		}
		return EnrolmentReply{Reason: reason}, fields.err
	}
	if response != Enrolled {
		return EnrolmentReply{}, core.Refuse(core.ClassField, "the answer is no answer to ENROLL")
	}
	reply := EnrolmentReply{
		Deployment: fields.text("DEPLOYMENT"), Certificate: fields.bytes("CERTIFICATE"),
		Authority: fields.bytes("AUTHORITY"), Threshold: numbers.read("THRESHOLD", 0, MaxSigners),
	}
	if site := fields.text("SITE"); site != "" {
		if reply.Site, err = core.ParseSiteName(site); err != nil {
			return EnrolmentReply{}, err
		}
	}
	err = children(root, "SIGNER", func(element *strictxml.Element) error {
		inside := blobs{from: element}
		signer := Signer{Owner: inside.text("OWNER"), Key: inside.bytes("KEY")}
		if inside.err == nil && (len(signer.Key) != ed25519.PublicKeySize || len(reply.Signers) == MaxSigners) {
			return core.Refuse(core.ClassField, "a signing key has %d bytes, or there are more than %d",
				len(signer.Key), MaxSigners)
		}
		reply.Signers = append(reply.Signers, signer)
		return inside.err
	})
	switch {
	case err != nil:
		return EnrolmentReply{}, err
	case fields.err != nil:
		return EnrolmentReply{}, fields.err
	case numbers.err != nil:
		return EnrolmentReply{}, numbers.err
	case reply.Deployment == "" || len(reply.Certificate) == 0 || len(reply.Authority) == 0 || len(reply.Signers) == 0:
		return EnrolmentReply{}, core.Refuse(core.ClassField, "the answer to ENROLL is incomplete")
	}
	return reply, nil
}
