package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"enjambre/agent/internal/vault"
	"enjambre/core"
	"enjambre/peer/link"
	"enjambre/peer/wire"
)

// serve answers what a member asks on a stream.
func (s *Swarm) serve(ctx context.Context, asked link.Stream) {
	stop := context.AfterFunc(ctx, func() { _ = asked.Reset() })
	defer stop()
	if err := s.answer(asked); err != nil {
		s.options.Log.Debug("ask not answered", "member", asked.Peer(), "reason", err)
		_ = asked.Reset()
		return
	}
	_ = asked.Close()
}

func (s *Swarm) answer(asked link.Stream) error {
	if err := asked.SetDeadline(time.Now().Add(stallTime)); err != nil {
		return err
	}
	frame, err := wire.Read(asked, wire.KindAsk, wire.KindAskInfo, wire.KindAskDigests)
	if err != nil {
		return errors.Join(err, reply(asked, wire.NewRefusal(wire.CodeOf(err), err.Error())))
	}
	switch frame := frame.(type) {
	case wire.Ask:
		return s.give(asked, frame)
	case wire.AskInfo:
		if p := s.sharedPackage(frame.Info); p != nil {
			return reply(asked, wire.Info{Envelope: p.Envelope()})
		}
	case wire.AskDigests:
		if p := s.sharedPackage(frame.Info); p != nil && len(p.Digests()) > 0 {
			return reply(asked, wire.Digests{List: p.Digests()})
		}
	}
	return reply(asked, wire.Missing{})
}

// sharedPackage returns a package that members may have, or nil.
func (s *Swarm) sharedPackage(info core.Digest) *vault.Package {
	s.mu.Lock()
	shared := s.shared[info]
	s.mu.Unlock()
	if !shared {
		return nil
	}
	return s.options.Vault.FindInfo(info)
}

// give answers an ask for a fragment, if a slot is free.
func (s *Swarm) give(asked link.Stream, ask wire.Ask) error {
	p := s.sharedPackage(ask.Info)
	if p == nil || !p.Held().Has(ask.Index) {
		return reply(asked, wire.Missing{})
	}
	select {
	case s.uploads <- struct{}{}:
		defer func() { <-s.uploads }()
	default:
		return reply(asked, wire.Busy{RetryAfter: s.retryAfter()})
	}
	section, err := p.Fragment(ask.Index)
	if err != nil {
		return errors.Join(err, reply(asked, wire.Missing{})) // it went just now
	}
	if int64(ask.Offset) >= section.Size() {
		return reply(asked, wire.NewRefusal(wire.CodeProtocol, fmt.Sprintf("fragment %d ends before offset %d", ask.Index,
			ask.Offset)))
	}
	return s.send(asked, io.NewSectionReader(section, int64(ask.Offset), section.Size()-int64(ask.Offset)))
}

// pieceBytes is how many bytes of a fragment are in memory while it is served: a large one must not cost us more. Each
// piece ends with a packet that is not full, and what the kernel is given at once ends with that: with pieces of 64 KiB
// QUIC takes a tenth more.
const pieceBytes = 512 << 10

// send answers with the bytes of a fragment. What cannot be read at all is missing; when it goes in the middle, the
// stream breaks off.
func (s *Swarm) send(asked link.Stream, from *io.SectionReader) error {
	buffer := s.pieces.Get().(*[pieceBytes]byte)
	defer s.pieces.Put(buffer)
	for left := from.Size(); left > 0; {
		piece := buffer[:min(left, pieceBytes)]
		_, err := io.ReadFull(from, piece)
		if left == from.Size() {
			if err != nil {
				return errors.Join(err, reply(asked, wire.Missing{}))
			}
			err = reply(asked, wire.Fragment{Length: uint32(left)})
		}
		if err == nil {
			err = patientWrite(asked, piece)
		}
		if err != nil {
			return err
		}
		left -= int64(len(piece))
	}
	return nil
}

// patientWrite writes a piece for as long as the other side takes progressBytes of it every stallTime: who takes a byte
// now and then would keep a slot from the others.
func patientWrite(to link.Stream, piece []byte) error {
	for {
		if err := to.SetDeadline(time.Now().Add(stallTime)); err != nil {
			return err
		}
		taken, err := to.Write(piece)
		if err == nil || taken < progressBytes || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		piece = piece[taken:]
	}
}

// retryAfter spreads those who were turned away.
func (s *Swarm) retryAfter() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return minBusy + time.Duration(s.options.Random.Int64N(int64(5*minBusy)))
}

func reply(to link.Stream, frame wire.Frame) error {
	data, err := wire.Append(nil, frame)
	if err == nil {
		_, err = to.Write(data)
	}
	return err
}
