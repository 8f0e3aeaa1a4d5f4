package store

import (
	"strings"

	"enjambre/server/internal/query"
)

// placeholders are serial numbers and UUIDs that makers leave in their boards and that so are nobody's own, without
// punctuation and in lower case, as bare writes them. Those of the first group stand in the table blacklist_serials that
// a stock server is delivered with; those of the second are what the tools of board makers write into SMBIOS (type 1 to
// 3) unless they are told otherwise, as the users of dmidecode and of inventory programs report them.
var placeholders = set(
	"0", "1", "na", "none", "nullstring", "invalid", "unknow", "unknown", "eval", "iatpass", "notavailable", "notspecified",
	"systemserialnumber", "chassisserialnumber", "serialnumberxxxxxx", "tobefilledbyoem", "tulipcomputers", "xxxxxxxxxxx",
	"nnnnnnn", "sys1234567890", "sys9876543210", "sn12345", "sn1234567890",

	"baseboardserialnumber", "boardserialnumber", "mbserialnumber", "motherboardserialnumber", "serialnumber", "serialnum",
	"systemsn", "sernum", "ssn", "sn", "systemproductname", "systemname", "systemuuid", "uuid", "assettag", "noassettag",
	"noassetinformation", "chassisassettag", "noserialnumber", "noserial", "defaultstring", "default", "oem", "oemstring",
	"filledbyoem", "filledbyom", "fillbyoem", "tobefilled", "tobedetermined", "tbd", "notapplicable", "notavail",
	"notsettable", "notset", "notpresent", "notdefined", "undefined", "unspecified", "unidentified", "empty", "blank", "null",
	"nil", "missing", "test", "void", "mb1234567890", "c1234567890", "bs1234567890", "cs1234567890", "abcdefghijk", "abcdefg",

	"03000200040005000006000700080009", // UUID of AMI's firmware as it is delivered
	"12345678123456781234567812345678", "123456781234567890abcddeefaabbcc", "00020003000400050006000700080009",
	"0102030405060708090a0b0c0d0e0f10", "000102030405060708090a0b0c0d0e0f", "123456781234123412341234567890ab",
	"fefefefefefefefefefefefefefefefe", "deadbeefdeadbeefdeadbeefdeadbeef",
)

// sharedMACs are addresses that a driver gives to the same adapter on every computer. Those of the first group stand in
// the table blacklist_macaddresses that a stock server is delivered with.
var sharedMACs = set(
	"00:00:00:00:00:00", "44:45:53:54:00:00", "44:45:53:54:00:01", "44:45:53:54:42:00", // none; dial-up of Windows 9x
	"00:01:02:7d:9b:1c", "00:08:a1:46:06:35", "00:08:a1:66:e2:1a", "00:09:dd:10:37:68", "00:0f:9a:d2:ed:7b",
	"00:10:84:fc:bf:b2", "00:14:0b:00:55:5a", "00:14:8d:a2:7f:28", "00:53:45:00:00:00", // ... ; WAN miniports
	"02:00:4c:4f:4f:50", "02:80:37:ec:02:00", // loopback of Microsoft; a mobile modem
	"20:41:53:59:4e:ff", "50:50:54:50:30:30", "33:50:6f:45:30:30", "50:55:43:44:52:39", // RAS, PPTP, PPPoE, bridges

	"00:05:9a:3c:78:00", "00:05:9a:3c:7a:00", // Cisco's VPN clients
	"00:09:0f:aa:00:01", "00:09:0f:fe:00:01", // Fortinet's VPN client
	"02:05:85:7f:eb:80", "02:50:41:00:00:01", // VPN clients of Juniper and Palo Alto
	"00:a0:c6:00:00:00", "02:50:f3:00:00:00", "80:00:60:0f:e8:00", // mobile modems; Windows CE over USB
	"58:2c:80:13:92:63", "0c:5b:8f:27:9a:64", "00:1e:10:1f:00:00", // mobile modems that are all alike
	"7a:79:00:00:00:00", // Hamachi, not configured
)

// sharedPrefixes are what the addresses of virtual adapters begin with that a program on the computer itself makes, by
// one rule on each: they say nothing of the computer. Addresses of virtual machines themselves (00:0c:29, 00:15:5d,
// 08:00:27, 52:54:00) are their own.
var sharedPrefixes = []string{
	"02:42:",            // Docker: the rest is made of the container network's IP address
	"00:50:56:c0:00:",   // VMware's host adapters, VMnet1 and on
	"0a:00:27:00:00:",   // VirtualBox's host adapters
	"00:ff:",            // adapters of OpenVPN for Windows (TAP)
	"00:1c:42:00:00:",   // Parallels' host adapters
	"ee:ee:ee:ee:ee:ee", // Calico
	"fe:ff:ff:ff:ff:ff", // Xen's bridges
	"02:00:00:00:00:00", // what Android and iOS say instead of the address
}

func set(list ...string) map[string]bool {
	all := map[string]bool{}
	for _, one := range list {
		all[one] = true
	}
	return all
}

// bare returns the letters and digits of a text, in lower case.
func bare(text string) string {
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c > 0x7f {
			return c
		}
		return -1
	}, query.Fold(text))
}

// isPlaceholder reports whether a serial number or a UUID is nobody's own: empty, a placeholder, one character again and
// again, or a row of digits in order.
func isPlaceholder(value string) bool {
	value = bare(value)
	if value == "" || placeholders[value] || strings.HasPrefix(value, "tobefilled") ||
		strings.Trim(value, value[:1]) == "" {
		return true
	}
	const ascending, descending = "01234567890123456789012345678901234567890", "98765432109876543210987654321098765432109"
	return strings.Contains(ascending, value) || strings.Contains(descending, value)
}

// isSharedMAC reports whether an address, as query.NormalMAC writes it, may be on many computers: one of a list, one of
// a virtual adapter, or one for groups, of which every address is whose first byte is odd.
func isSharedMAC(mac string) bool {
	if len(mac) < 2 || sharedMACs[mac] || strings.ContainsRune("13579bdf", rune(mac[1])) {
		return true
	}
	for _, prefix := range sharedPrefixes {
		if strings.HasPrefix(mac, prefix) {
			return true
		}
	}
	return false
}
