package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxPacket = 2048    // bytes; the devices' MTU is 1500
	inFlight  = 1 << 13 // packets on a wire in one direction; what comes when it is full is dropped
)

// A wire joins two TUN devices in different namespaces and delivers each packet after a delay, in order. How fast
// packets come, and how many wait for that, is the business of the devices' queues.
type wire struct {
	ends  [2]*os.File
	delay time.Duration // of one direction
	cut   atomic.Bool   // what is sent is lost
	wait  sync.WaitGroup

	sidewaysBytes, sidewaysPackets atomic.Uint64 // from the second end, and not for the server
}

// A packet is on its way.
type packet struct {
	due   time.Time
	bytes *[maxPacket]byte
	size  int
}

// openWire makes the two devices, and starts to carry.
func openWire(a *space, nameA string, b *space, nameB string, delay time.Duration) (*wire, error) {
	w := &wire{delay: delay}
	for i, end := range []struct {
		space *space
		name  string
	}{{a, nameA}, {b, nameB}} {
		file, err := openTun(end.space, end.name)
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		w.ends[i] = file
	}
	buffers := &sync.Pool{New: func() any { return new([maxPacket]byte) }}
	w.carry(w.ends[0], w.ends[1], buffers)
	w.carry(w.ends[1], w.ends[0], buffers)
	return w, nil
}

// openTun makes a TUN device in a namespace; it lives as long as the file.
func openTun(s *space, name string) (*os.File, error) {
	var file *os.File
	err := s.inside(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("/dev/net/tun: %w", err)
		}
		request, err := unix.NewIfreq(name)
		if err == nil {
			request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
		if err == nil {
			err = unix.SetNonblock(fd, true) // not before the device is there: the poller refuses it
		}
		if err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		file = os.NewFile(uintptr(fd), name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("host %s: make device %s: %w", s.name, name, err)
	}
	return file, nil
}

// carry starts to deliver what is sent at one end to the other, until the ends are closed.
func (w *wire) carry(from, to *os.File, buffers *sync.Pool) {
	line := make(chan packet, inFlight)
	w.wait.Go(func() {
		defer close(line)
		for {
			buffer := buffers.Get().(*[maxPacket]byte)
			n, err := from.Read(buffer[:])
			if errors.Is(err, unix.EIO) { // the device is not up yet
				time.Sleep(time.Millisecond)
				continue
			}
			if err != nil {
				return // closed
			}
			if w.cut.Load() {
				continue
			}
			if from == w.ends[1] && isSideways(buffer[:n]) {
				w.sidewaysBytes.Add(uint64(n))
				w.sidewaysPackets.Add(1)
			}
			select {
			case line <- packet{time.Now().Add(w.delay), buffer, n}:
			default: // full: as a router, which has no memory either
			}
		}
	})
	w.wait.Go(func() {
		for one := range line {
			time.Sleep(time.Until(one.due))
			_, _ = to.Write(one.bytes[:one.size]) // what the other end does not take is lost, as on any wire
			buffers.Put(one.bytes)
		}
	})
}

// isSideways reports whether a packet is an IPv4 packet that is not for the server.
func isSideways(packet []byte) bool {
	const destination = 16 // in the header
	if len(packet) < destination+4 || packet[0]>>4 != 4 {
		return false
	}
	return netip.AddrFrom4([4]byte(packet[destination:destination+4])) != ServerAddress
}

// close removes both devices and waits until nothing is carried any more.
func (w *wire) close() error {
	var failed error
	for _, end := range w.ends {
		if end != nil {
			failed = errors.Join(failed, end.Close())
		}
	}
	w.wait.Wait()
	return failed
}
