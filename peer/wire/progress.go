package wire

import (
	"crypto/ed25519"
	"encoding/binary"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/peer/id"
	"enjambre/peer/internal/octet"
)

// Lengths of a Progress, in bytes.
const (
	packageSize   = 8 + 1 + 4 + 4
	progressFixed = id.KeySize + 8 + 1 + ed25519.SignatureSize
)

const progressLabel = "enjambre progress\x00"

// phases are the codes of the phases on the wire. The table is read only.
var phases = [...]ocs.Phase{1: ocs.Downloading, 2: ocs.Delayed, 3: ocs.Installing}

// A PackageProgress says how far a member is with a package.
type PackageProgress struct {
	Package  core.PackageID
	Phase    ocs.Phase
	Have, Of uint32 // fragments, at most core.MaxFragments; Have <= Of
}

// A Progress is what a member says about itself, signed, on its way through the site's reporters to the server. It is
// for display only, never a result. Those with at most MaxTold packages fit into a message of gossip.
type Progress struct {
	Peer      id.Peer
	Issued    time.Time         // in whole seconds
	Packages  []PackageProgress // at most MaxProgress, ascending by package
	Signature [ed25519.SignatureSize]byte
}

// Kind returns KindProgress.
func (Progress) Kind() Kind { return KindProgress }

func (p Progress) check() error {
	if len(p.Packages) > MaxProgress {
		return core.Refuse(core.ClassLimit, "progress of %d packages: at most %d are allowed", len(p.Packages),
			MaxProgress)
	}
	if unix := p.Issued.Unix(); p.Peer == (id.Peer{}) || unix < 1 || unix > maxUnix {
		return core.Refuse(core.ClassField, "progress of member %s at Unix time %d", p.Peer, unix)
	}
	for i, one := range p.Packages {
		_, known := phaseCode(one.Phase)
		switch {
		case one.Package < 1 || one.Package > maxPackageID:
			return core.Refuse(core.ClassField, "progress of package %d", int64(one.Package))
		case !known:
			return core.Refuse(core.ClassField, "progress of package %s: no phase", one.Package)
		case one.Have > one.Of || one.Of > core.MaxFragments:
			return core.Refuse(core.ClassLimit, "progress of package %s: %d of %d fragments", one.Package,
				one.Have, one.Of)
		case i > 0 && one.Package <= p.Packages[i-1].Package:
			return core.Refuse(core.ClassCanon, "progress of package %s is not in its place", one.Package)
		}
	}
	return nil
}

const (
	maxPackageID = 999_999_999_999_999_999 // core.ParsePackageID takes 18 digits
	maxUnix      = 253402300799            // the end of the year 9999
)

// phaseCode returns the number of a phase on the wire.
func phaseCode(phase ocs.Phase) (byte, bool) {
	for code, one := range phases {
		if code > 0 && one == phase {
			return byte(code), true
		}
	}
	return 0, false
}

// appendSigned writes what the signature is over.
func (p Progress) appendSigned(to []byte) []byte {
	to = binary.BigEndian.AppendUint64(append(to, p.Peer[:]...), uint64(p.Issued.Unix()))
	to = append(to, byte(len(p.Packages)))
	for _, one := range p.Packages {
		code, _ := phaseCode(one.Phase)
		to = append(binary.BigEndian.AppendUint64(to, uint64(one.Package)), code)
		to = binary.BigEndian.AppendUint32(to, one.Have)
		to = binary.BigEndian.AppendUint32(to, one.Of)
	}
	return to
}

func (p Progress) append(to []byte) []byte { return append(p.appendSigned(to), p.Signature[:]...) }

func readProgress(r *octet.Reader) (Frame, error) {
	progress := Progress{Peer: id.Peer(r.Take(id.KeySize))}
	progress.Issued = time.Unix(int64(min(r.Uint64(), maxUnix+1)), 0).UTC()
	for range min(r.Uint8(), MaxProgress+1) { // one too many is enough for check
		one := PackageProgress{Package: core.PackageID(min(r.Uint64(), maxPackageID+1))}
		if code := int(r.Uint8()); code < len(phases) {
			one.Phase = phases[code]
		}
		one.Have, one.Of = r.Uint32(), r.Uint32()
		progress.Packages = append(progress.Packages, one)
	}
	progress.Signature = [ed25519.SignatureSize]byte(r.Take(ed25519.SignatureSize))
	return progress, nil
}

// Sign sets peer and signature to those of the member's key. It refuses what could not be sent.
func (p *Progress) Sign(key ed25519.PrivateKey) error {
	if len(key) != ed25519.PrivateKeySize {
		return core.Refuse(core.ClassField, "a signing key of %d bytes, want %d", len(key), ed25519.PrivateKeySize)
	}
	peer, err := id.FromKey(key.Public().(ed25519.PublicKey))
	if err != nil {
		return err
	}
	p.Peer = peer
	if err := p.check(); err != nil {
		return err
	}
	copy(p.Signature[:], ed25519.Sign(key, p.appendSigned([]byte(progressLabel))))
	return nil
}

// Verify refuses, with E_SIG, what the member it names did not say. Whether that member belongs to the site,
// and how old its word is, are for the caller.
func (p Progress) Verify() error {
	if !ed25519.Verify(p.Peer.Key(), p.appendSigned([]byte(progressLabel)), p.Signature[:]) {
		return core.Refuse(core.ClassSig, "the signature on the progress of member %s does not hold", p.Peer)
	}
	return nil
}
