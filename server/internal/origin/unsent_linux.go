package origin

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limitUnsent bounds what a socket holds of bytes that have not left yet, if its round trip is at least so long; what
// is under way is not bounded by it. It reports whether it did.
func limitUnsent(socket syscall.Conn, trip time.Duration, bytes int) (done bool) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || time.Duration(info.Rtt)*time.Microsecond < trip {
			return
		}
		done = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes) == nil
	})
	return done && err == nil
}
