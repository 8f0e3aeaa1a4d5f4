package swarm

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"enjambre/peer/link"
	"enjambre/peer/wire"
)

// A quickStream leads to a member that has answered and closed it before we could say that nothing more comes.
type quickStream struct {
	link.Stream
	answer bytes.Buffer
}

func (*quickStream) Write(p []byte) (int, error)  { return len(p), nil }
func (s *quickStream) Read(p []byte) (int, error) { return s.answer.Read(p) }
func (*quickStream) CloseWrite() error            { return errors.New("close called for canceled stream") }

// TestQuickAnswer: an answer is heard also from a member that is quicker than we are; without one the error says both.
func TestQuickAnswer(t *testing.T) {
	want := wire.Busy{RetryAfter: time.Second}
	stream := &quickStream{}
	data, err := wire.Append(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	stream.answer.Write(data)
	if got, err := ask(stream, wire.Ask{}); err != nil || got != want {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := ask(stream, wire.Ask{}); err == nil {
		t.Errorf("got %v without an answer", got)
	}
}
