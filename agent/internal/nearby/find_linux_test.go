package nearby

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// insideNetwork in the environment says that this process has a network of its own.
const insideNetwork = "NEARBY_TEST_INSIDE"

// TestFindIPv6: the same as TestFind on a network with IPv6, of a namespace of its own.
func TestFindIPv6(t *testing.T) {
	if os.Getenv(insideNetwork) != "" {
		self := netip.MustParsePrefix("2001:db8::1/64")
		makeNetwork(t, self)
		find(t, self.Addr())
		return
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inside := exec.Command(program, "-test.run=^TestFindIPv6$", "-test.v")
	inside.Env = append(os.Environ(), insideNetwork+"=1")
	inside.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	output, err := inside.CombinedOutput()
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("network namespaces need root: %v", err)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

// makeNetwork gives this process a network device with an address.
func makeNetwork(t *testing.T, self netip.Prefix) {
	t.Helper()
	attributes := netlink.NewLinkAttrs()
	attributes.Name = "lan0"
	device := netlink.NewVeth(attributes)
	device.PeerName = "lan1"
	if err := netlink.LinkAdd(device); errors.Is(err, unix.EOPNOTSUPP) {
		t.Skipf("the kernel has no veth devices: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	other, err := netlink.LinkByName(device.PeerName)
	if err == nil {
		err = errors.Join(netlink.LinkSetUp(device), netlink.LinkSetUp(other))
	}
	if err == nil {
		var address *netlink.Addr
		if address, err = netlink.ParseAddr(self.String()); err == nil {
			address.Flags = unix.IFA_F_NODAD // it is there at once
			err = netlink.AddrAdd(device, address)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
