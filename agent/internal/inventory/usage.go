package inventory

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/shirou/gopsutil/v4/disk"
)

// diskUsage returns the size of the file system at path and what is free on it for others than root, in
// bytes.
func diskUsage(ctx context.Context, path string) (total, free uint64, err error) {
	usage, err := disk.UsageWithContext(ctx, path)
	if err != nil {
		return 0, 0, err
	}
	return usage.Total, usage.Free, nil
}

// maxAdapters is how many adapters are looked at: every container on a computer adds one.
const maxAdapters = 1024

// listAdapters asks the kernel for the adapters and their addresses.
func listAdapters() ([]Adapter, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network adapters: %w", err)
	}
	var adapters []Adapter
	for _, one := range interfaces[:min(len(interfaces), maxAdapters)] {
		adapter := Adapter{Name: one.Name, MAC: one.HardwareAddr, MTU: one.MTU,
			Up: one.Flags&net.FlagRunning != 0 && one.Flags&net.FlagUp != 0, Loopback: one.Flags&net.FlagLoopback != 0}
		addresses, err := one.Addrs()
		if err != nil {
			continue // it vanished meanwhile, as those of containers do
		}
		for _, address := range addresses {
			if prefix, err := netip.ParsePrefix(address.String()); err == nil {
				adapter.Addresses = append(adapter.Addresses, prefix)
			}
		}
		adapters = append(adapters, adapter)
	}
	return adapters, nil
}
