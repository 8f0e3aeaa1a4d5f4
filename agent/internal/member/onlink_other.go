//go:build !linux

package member

import "net/netip"

// onLink returns nothing: what is reached without a gateway is not read here.
func onLink(string) []netip.Prefix { return nil }
