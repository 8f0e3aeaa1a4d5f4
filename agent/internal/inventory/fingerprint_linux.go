package inventory

import (
	"encoding/hex"
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// identity returns the machine ID, the product UUID and the permanent MAC addresses; "" and none when
// unknown.
func (s System) identity() (id, uuid string, addresses []string) {
	id = s.text("/etc/machine-id")
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 16 {
		id = "" // missing, or "uninitialized" until the first start
	}
	rest, err := s.firmware()
	if err != nil {
		s.Log.Warn("fingerprint", "source", "SMBIOS", "reason", err.Error())
	}
	return id, rest.uuid, s.permanentAddresses()
}

// permanentAddresses lists the addresses that the adapters of this computer were made with. Those on USB do
// not count: they come and go with a docking station. Nor do virtual ones. Adapters under a bond show its
// address, and wireless ones may show a new one each day, hence the permanent one.
func (s System) permanentAddresses() (addresses []string) {
	const folder = "/sys/class/net/"
	for _, name := range s.names(folder) {
		target, err := os.Readlink(s.path(folder + name))
		if err != nil || !s.exists(folder+name+"/device") || strings.Contains(target, "/usb") {
			continue
		}
		address, err := s.Permanent(name)
		if err != nil && s.text(folder+name+"/addr_assign_type") == "0" { // NET_ADDR_PERM: as made
			address, err = net.ParseMAC(s.text(folder + name + "/address"))
		}
		if err == nil && strings.Trim(address.String(), "0:") != "" && len(addresses) < MaxItems {
			addresses = append(addresses, address.String())
		}
	}
	return addresses
}

// permanentRequest is struct ethtool_perm_addr of the kernel.
type permanentRequest struct {
	command uint32
	size    uint32 // in: room, out: length
	data    [32]byte
}

// adapterRequest is struct ifreq of the kernel, as SIOCETHTOOL uses it.
type adapterRequest struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte // the kernel copies the longest form of the union
}

// permanentAddress asks the kernel for the address that an adapter was made with.
func permanentAddress(adapter string) (net.HardwareAddr, error) {
	if len(adapter) >= unix.IFNAMSIZ {
		return nil, errors.New("no adapter has so long a name")
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(socket) }()
	wanted := permanentRequest{command: unix.ETHTOOL_GPERMADDR, size: 32}
	request := adapterRequest{data: unsafe.Pointer(&wanted)}
	copy(request.name[:], adapter)
	_, _, number := unix.Syscall(unix.SYS_IOCTL, uintptr(socket), unix.SIOCETHTOOL,
		uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(&wanted)
	if number != 0 {
		return nil, number
	}
	return net.HardwareAddr(wanted.data[:min(wanted.size, 32)]), nil
}
