package ocs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"net/netip"
)

// roundTrip fails unless what was written reads back as want.
func roundTrip(t *testing.T, document []byte, read func(*Request) (any, error), want any) {
	t.Helper()
	request, err := ParseRequest(document)
	if err != nil {
		t.Fatalf("written, then refused: %v\n%s", err, document)
	}
	got, err := read(request)
	if err != nil {
		t.Fatalf("written, then refused: %v\n%s", err, document)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Fatalf("round trip (-want +got):\n%s", diff)
	}
}

func FuzzParsePrologReply(f *testing.F) {
	for _, name := range []string{"02-prolog-reply-send-4-packages.xml",
		"02b-prolog-reply-from-real-server-download-off.xml", "golden-prolog-reply.xml", "golden-prolog-reply-cloned.xml"} {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		reply, err := ParsePrologReply(document)
		if err != nil {
			return
		}
		again, err := ParsePrologReply(reply.Append(nil))
		if err != nil {
			t.Fatalf("written, then refused: %v", err)
		}
		address := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
		if diff := cmp.Diff(reply, again, address, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("round trip (-first +again):\n%s", diff)
		}
	})
}

func FuzzParseInventoryReply(f *testing.F) {
	f.Add(read(f, "04-inventory-reply-no-account-update.xml"))
	f.Add(read(f, "05-inventory-reply-account-update.xml"))
	f.Fuzz(func(t *testing.T, document []byte) {
		reply, err := ParseInventoryReply(document)
		if err != nil {
			return
		}
		again, err := ParseInventoryReply(reply.Append(nil))
		if err != nil || !cmp.Equal(reply, again, cmpopts.EquateEmpty()) {
			t.Fatalf("round trip: %v, %v, %v", reply, again, err)
		}
	})
}

func FuzzParseEnrolmentReply(f *testing.F) {
	f.Add(read(f, "golden-enroll-reply.xml"))
	f.Add(read(f, "golden-enroll-refused.xml"))
	f.Fuzz(func(t *testing.T, document []byte) {
		reply, err := ParseEnrolmentReply(document)
		if err != nil {
			return
		}
		again, err := ParseEnrolmentReply(reply.Append(nil))
		if err != nil || !cmp.Equal(reply, again, cmpopts.EquateEmpty()) {
			t.Fatalf("round trip: %v, %v, %v", reply, again, err)
		}
	})
}
