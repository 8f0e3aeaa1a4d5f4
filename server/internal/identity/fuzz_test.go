package identity

import (
	"net"
	"os"
	"testing"
)

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"a","hosts":["a"],"created":"2026-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if read, err := parseRecord(data); err == nil && (len(read.Hosts) == 0 || read.Name == "") {
			t.Fatalf("accepted %+v", read)
		}
	})
}

func FuzzParseChain(f *testing.F) {
	d := made(f, Options{Hosts: []string{"a"}})
	data, err := os.ReadFile(d.path(serverFile))
	check(f, err)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if chain, err := parseChain(data, "x", nil); err == nil &&
			net.ParseIP(chain.leaf().Subject.CommonName) != nil {
			_ = chain.verify([]string{"a"}, chain.certificates, now)
		}
	})
}
