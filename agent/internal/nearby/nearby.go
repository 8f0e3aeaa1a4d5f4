// Package nearby finds agents of the same swarm in the own broadcast domain by mDNS, and tells them of this one.
//
// A [Finder] announces one DNS-SD service, _enjambre._udp.local., at the place where members reach this agent, and
// keeps the places that others announce. It works on one network interface and in one family, those of that place:
// members elsewhere could not reach it there. Another place or another swarm needs another Finder.
//
// # What it tells the network
//
// The agent's address, port and peer ID, and a tag of the swarm ([TagOf]): neither the computer's name nor the
// site's nor the deployment's. Messages go to 224.0.0.251 or ff02::fb, UDP port 5353, which no router passes on.
//
// # What it promises
//
// What is found is a hint and proves nothing: whoever is tried must show a certificate and a ticket, and gossip in
// the site's keys. A hint is a unicast address on a network of the interface, never the own place. When [Finder.Run]
// returns, nothing of it runs, and the others have been told that this agent goes.
//
// # Bounds
//
// [MaxPlaces] places, [MaxFrom] of them from one sender, each for 15 minutes at most; messages of 1500 bytes, 100 of
// them a second: more wait in the socket, where the kernel drops them. It says where it is at most every two seconds,
// unasked about every five minutes, and not at all when eight others have answered the same question. It asks three
// times in the beginning, and then only while nobody is there, at most once a minute. Of other services nothing is
// kept.
package nearby

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"enjambre/peer/id"
)

// Port is the UDP port of mDNS.
const Port = 5353

// A Place is where an agent says that it is reached.
type Place struct {
	ID      id.Peer
	Address netip.AddrPort
}

// Options say what to announce and whom to look for. All but Log are required.
type Options struct {
	Self  Place
	Tag   Tag         // of the swarm
	Alone func() bool // nobody else is there, so that it is worth asking; called by Run
	Log   *slog.Logger
}

// A Finder announces and finds. Safe for concurrent use.
type Finder struct {
	options Options
	number  uint16 // of our questions
	found   chan struct{}

	mu   sync.Mutex
	kept kept
}

// New returns a Finder; Run makes it work.
func New(options Options) *Finder {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	return &Finder{
		options: options, number: uint16(1 + rand.N(65535)), found: make(chan struct{}, 1), kept: kept{},
	}
}

// Found tells that there is a place that was not there before. One that nobody has looked at yet is told once.
func (f *Finder) Found() <-chan struct{} { return f.found }

// Places returns where others say that they are, in no order.
func (f *Finder) Places() []Place {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept.places(time.Now())
}

// Run announces and finds until ctx ends; an error says why it cannot. It may be called again: what was found stays.
func (f *Finder) Run(ctx context.Context) error {
	l, err := lanOf(f.options.Self.Address)
	if err != nil {
		return fmt.Errorf("mDNS: %w", err)
	}
	conn, to, err := openGroup(l)
	if err != nil {
		return fmt.Errorf("mDNS on %s: UDP port %d: %w", l.nic.Name, Port, err)
	}
	voice, err := f.newVoice(conn, to)
	if err != nil {
		return errors.Join(fmt.Errorf("mDNS: %w", err), conn.Close())
	}
	messages, reading := make(chan message), make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() { f.read(ctx, conn, l, messages); close(reading) }()
	err = f.own(ctx, voice, l, messages)
	if gone := voice.send(voice.goodbye); gone != nil {
		f.options.Log.Debug("not said by mDNS that this agent goes", "reason", gone)
	}
	cancel()
	err = errors.Join(err, conn.Close())
	<-reading
	if err != nil {
		return fmt.Errorf("mDNS on %s: %w", l.nic.Name, err)
	}
	return nil
}

// A message is what a sender said.
type message struct {
	heard
	from netip.Addr
}

// read hands on what concerns us until the socket is closed.
func (f *Finder) read(ctx context.Context, conn *net.UDPConn, l lan, messages chan<- message) {
	buffer := make([]byte, maxMessage)
	var valve valve
	for ctx.Err() == nil {
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if wait := valve.pass(time.Now()); wait > 0 { // also when reading fails again and again
			pause(ctx, wait)
		}
		if err != nil || !l.hears(from) {
			continue
		}
		said, ok := parseMessage(buffer[:n])
		if !ok {
			continue
		}
		select {
		case messages <- message{said, from.Addr()}:
		case <-ctx.Done():
		}
	}
}

func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// own owns the pace: it says and asks what is due, and keeps what is heard.
func (f *Finder) own(ctx context.Context, voice voice, l lan, messages <-chan message) error {
	pace := newPace(time.Now(), rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case one := <-messages:
			f.take(one, l, pace)
		case <-timer.C:
			says, asks := pace.due(time.Now(), f.options.Alone())
			if says {
				if err := voice.send(voice.announcement); err != nil {
					return err
				}
			}
			if asks {
				if err := voice.send(voice.question); err != nil {
					return err
				}
			}
		}
		timer.Reset(time.Until(pace.next()))
	}
}

// take takes over what a sender said.
func (f *Finder) take(one message, l lan, pace *pace) {
	now := time.Now()
	if one.asks && one.number != f.number { // the computer hears itself
		pace.asked(now)
	}
	said := one.said
	if said == nil || said.Tag != f.options.Tag || said.Place.ID == f.options.Self.ID || !l.admits(said.Place.Address) {
		return
	}
	pace.answered()
	f.mu.Lock()
	isNew := f.kept.take(*said, one.from, now)
	f.mu.Unlock()
	if !isNew {
		return
	}
	f.options.Log.Debug("found by mDNS", "member", said.Place.ID, "address", said.Place.Address)
	select {
	case f.found <- struct{}{}:
	default: // it will be seen with the one before
	}
}

// A voice sends what a Finder says; all of it is known from the beginning.
type voice struct {
	conn                            *net.UDPConn
	to                              netip.AddrPort
	announcement, goodbye, question []byte
}

func (f *Finder) newVoice(conn *net.UDPConn, to netip.AddrPort) (voice, error) {
	here := announcement{Place: f.options.Self, Tag: f.options.Tag, TTL: keepTime}
	gone := here
	gone.TTL = 0
	v := voice{conn: conn, to: to}
	var errs [3]error
	v.announcement, errs[0] = here.message()
	v.goodbye, errs[1] = gone.message()
	v.question, errs[2] = question(f.number)
	return v, errors.Join(errs[:]...)
}

func (v voice) send(message []byte) error {
	_, err := v.conn.WriteToUDPAddrPort(message, v.to)
	return err
}
