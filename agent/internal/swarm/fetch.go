package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"enjambre/core"
	"enjambre/peer"
	"enjambre/peer/link"
	"enjambre/peer/wire"
)

// A FetchError is why a neighbour did not give a fragment.
type FetchError struct {
	Why        peer.Failure
	RetryAfter time.Duration // of peer.Occupied
	Err        error
}

// Error says it in words.
func (e *FetchError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("not given (%d), again in %v", e.Why, e.RetryAfter)
	}
	return e.Err.Error()
}

// Unwrap returns what went wrong.
func (e *FetchError) Unwrap() error { return e.Err }

// Fetch fetches a fragment of size bytes from a member, calling progress as bytes come, and lets take have the bytes,
// which are not verified and whose place is used again afterwards. Every error but take's is a *FetchError.
func (s *Swarm) Fetch(ctx context.Context, from link.Member, info core.Digest, index core.FragmentIndex, size int64,
	progress func(), take func([]byte) error) error {
	buffer := s.buffer(size)
	defer s.buffers.Put(buffer)
	data := (*buffer)[:size]
	err := s.fetch(ctx, from, info, index, data, progress)
	var failed *FetchError
	switch {
	case errors.As(err, &failed):
		return err
	case err != nil:
		return &FetchError{Why: peer.Broken, Err: err}
	}
	return take(data)
}

// buffer returns a buffer of size bytes at least; what is given back to s.buffers is used again, until it was not for a
// while. Buffers that were made for each fragment were nearly all that the collector had to do.
func (s *Swarm) buffer(size int64) *[]byte {
	if used, is := s.buffers.Get().(*[]byte); is && int64(len(*used)) >= size {
		return used
	}
	made := make([]byte, size) // at most core.MaxFragmentSize, as the package's plan has it
	return &made
}

// fetch fetches a fragment of as many bytes as into has.
func (s *Swarm) fetch(ctx context.Context, from link.Member, info core.Digest, index core.FragmentIndex, into []byte,
	progress func()) error {
	stream, err := s.options.Host.Open(ctx, from)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = stream.Reset() })
	defer stop()
	defer stream.Close()
	answer, err := ask(stream, wire.Ask{Info: info, Index: index})
	if err != nil {
		return err
	}
	switch answer := answer.(type) {
	case wire.Busy:
		return &FetchError{Why: peer.Occupied, RetryAfter: answer.RetryAfter}
	case wire.Missing:
		return &FetchError{Why: peer.Absent, Err: fmt.Errorf("member %s does not have fragment %d", from.ID, index)}
	case wire.Refusal:
		return answer
	case wire.Fragment:
		if int64(answer.Length) != int64(len(into)) {
			return &FetchError{Why: peer.Corrupt, Err: core.Refuse(core.ClassHash,
				"member %s gives %d bytes as fragment %d, which has %d", from.ID, answer.Length, index, len(into))}
		}
		progress()
		return readAll(stream, into, progress)
	}
	panic(fmt.Sprintf("swarm: wire.Read gives a %T that nobody wanted", answer))
}

// ask says a frame and reads the head of the answer. That nothing more comes cannot be said to a member that has read
// the question, answered and closed the stream by then; its answer holds all the same.
func ask(stream link.Stream, question wire.Frame) (wire.Frame, error) {
	if err := reply(stream, question); err != nil {
		return nil, err
	}
	unsaid := stream.CloseWrite()
	answer, err := wire.Read(stream, question.Kind().Answers()...)
	if err != nil {
		return nil, errors.Join(err, unsaid)
	}
	return answer, nil
}

// Info asks a member for a package's sealed info file, as it is: nothing of it is verified.
func (s *Swarm) Info(ctx context.Context, from link.Member, info core.Digest) ([]byte, error) {
	answer, err := s.document(ctx, from, wire.AskInfo{Info: info})
	if err != nil {
		return nil, err
	}
	return answer.(wire.Info).Envelope, nil
}

// Digests asks a member for a package's digests file; nothing of it is verified.
func (s *Swarm) Digests(ctx context.Context, from link.Member, info core.Digest) ([]byte, error) {
	answer, err := s.document(ctx, from, wire.AskDigests{Info: info})
	if err != nil {
		return nil, err
	}
	return answer.(wire.Digests).List.Bytes(), nil
}

// document asks for a document and returns its frame, or why there is none.
func (s *Swarm) document(ctx context.Context, from link.Member, question wire.Frame) (wire.Frame, error) {
	stream, err := s.options.Host.Open(ctx, from)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = stream.Reset() })
	defer stop()
	defer stream.Close()
	answer, err := ask(stream, question)
	if err != nil {
		return nil, err
	}
	switch answer := answer.(type) {
	case wire.Refusal:
		return nil, answer
	case wire.Busy:
		return nil, &FetchError{Why: peer.Occupied, RetryAfter: answer.RetryAfter}
	case wire.Missing:
		return nil, &FetchError{Why: peer.Absent, Err: fmt.Errorf("member %s does not have the file", from.ID)}
	}
	return answer, nil
}

// readAll fills a fragment with its bytes.
func readAll(from io.Reader, into []byte, progress func()) error {
	for len(into) > 0 {
		n, err := io.ReadFull(from, into[:min(progressBytes, len(into))])
		if err != nil {
			return err
		}
		into = into[n:]
		progress()
	}
	return nil
}

// progressBytes is how many bytes are progress worth telling.
const progressBytes = 64 << 10
