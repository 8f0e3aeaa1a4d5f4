package link

import (
	"context"
	"errors"
	"testing"
	"time"
)

// dialled returns two hosts of which the first has dialled the second, and nothing else.
func dialled(t *testing.T) (a, b *Host) {
	t.Helper()
	a, b = listen(t, 1, "lyon"), listen(t, 2, "lyon")
	if _, err := a.dial(t.Context(), b.member()); err != nil {
		t.Fatal(err)
	}
	for len(b.swarm.ConnsToPeer(theirs(a.ID()))) == 0 {
		time.Sleep(time.Millisecond)
	}
	return a, b
}

// TestDiallerGreets: who is dialled before it dials itself waits for the other's hello, and the connection has one
// control stream.
func TestDiallerGreets(t *testing.T) {
	a, b := dialled(t)
	errs := make(chan error, 3)
	for range 2 {
		go func() { errs <- b.Greet(t.Context(), a.member()) }()
	}
	select {
	case err := <-errs:
		t.Fatalf("greeted by whom was dialled: %v", err)
	case <-time.After(50 * time.Millisecond): // it would have taken one
	}
	go func() { errs <- a.Greet(t.Context(), b.member()) }()
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	for _, end := range []struct {
		host *Host
		ours bool
	}{{a, true}, {b, false}} {
		control, err := end.host.Greeted(t.Context())
		if err != nil || control.Ours() != end.ours {
			t.Fatalf("got %v, %v", control, err)
		}
		if len(end.host.controls) > 0 {
			t.Error("a second control stream")
		}
	}
}

// TestSecondHello: a hello that is out of place is refused, and what was agreed before stays.
func TestSecondHello(t *testing.T) {
	a, b := dialled(t)
	echo(t, b)
	if err := a.Greet(t.Context(), b.member()); err != nil {
		t.Fatal(err)
	}
	for _, from := range []*Host{a, b} {
		to := map[*Host]*Host{a: b, b: a}[from]
		conn := from.swarm.ConnsToPeer(theirs(to.ID()))[0]
		if control, err := from.greetOn(t.Context(), conn); err == nil {
			t.Errorf("answered on %v", control)
		}
	}
	if got, err := ask(t.Context(), a, b.member(), "x"); err != nil || got != "x" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestNoHello: a connection that its dialler does not greet is given up, and its place is free for another.
func TestNoHello(t *testing.T) {
	t.Parallel()
	a, b := dialled(t)
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := b.Greet(short, a.member()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := b.Greet(t.Context(), a.member()); !errors.Is(err, ErrNotGreeted) {
		t.Errorf("got %v", err)
	}
	for len(a.swarm.Conns())+len(b.swarm.Conns()) > 0 {
		time.Sleep(time.Millisecond)
	}
	if err := b.Greet(t.Context(), a.member()); err != nil {
		t.Error(err)
	}
}
