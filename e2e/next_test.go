package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"enjambre/core"
	"enjambre/peer/lease"
)

// entries returns what a site's ledger says was sent.
func (s *site) entries(name string) (sent []lease.Entry) {
	s.Helper()
	data, err := os.ReadFile(filepath.Join(s.server.Data, "swarm", name+".ledger"))
	if err != nil && !os.IsNotExist(err) {
		s.Fatal(err)
	}
	for ; len(data) >= lease.EntrySize; data = data[lease.EntrySize:] { // a torn end may be there until the next start
		entry, err := lease.ParseEntry(data[:lease.EntrySize])
		if err != nil {
			s.Fatal(err)
		}
		if entry.Kind == lease.KindSent || entry.Kind == lease.KindRepaired {
			sent = append(sent, entry)
		}
	}
	return sent
}

// sent returns what a site's ledger says was sent of each fragment, in bytes, and of how many leases.
func (s *site) sent(name string) (bytes map[core.FragmentIndex]int64, leases map[core.FragmentIndex]int) {
	s.Helper()
	bytes, leases = map[core.FragmentIndex]int64{}, map[core.FragmentIndex]int{}
	for _, entry := range s.entries(name) {
		bytes[entry.Fragment] += int64(entry.Bytes)
		if entry.Begins {
			leases[entry.Fragment]++
		}
	}
	return bytes, leases
}

// TestNext: an agent asks the origin for the next fragment and fetches no plain file. The server dies in the middle of a
// fragment; the agent goes on when it is back, and nothing is sent twice but what was on its way.
func TestNext(t *testing.T) {
	const (
		fragmentSize = 256 << 10
		fragments    = 13
	)
	s := newSite(t)
	s.must("site", "set", "lyon", "--wan-rate", "1mbit", "--pace", "rate") // a fragment in 2 s
	s.must("config", "set", "DOWNLOAD_FRAG_LATENCY", "3600")               // which the rate replaces
	archive := s.script("true", fragmentSize*(fragments-1)+1000)
	id := s.deploy("--action", "LAUNCH", "--command", "run.sh", "--file", archive, "--fragment-size", "256KiB")
	if err := s.member.Start(); err != nil {
		t.Fatal(err)
	}
	s.waitFor("some fragments", func() bool { _, leases := s.sent("lyon"); return len(leases) >= 4 })
	if err := s.server.Kill(); err != nil {
		t.Fatal(err)
	}
	s.must("site", "set", "lyon", "--wan-rate", fastRate)
	s.waitFor("the agent to find out", func() bool { return strings.Contains(s.fullLog(s.member), "connection refused") })
	if err := s.server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.waitFor("the result", func() bool {
		return strings.Contains(s.must("rollout", "status", "--package", id, "--json"), `"SUCCESS":1`)
	})
	s.want(id, "SUCCESS", "SUCCESS_0")
	if plain := s.requests("agent=enjambre-agent", "/download/"+id+"/"+id+"-"); plain > 0 {
		t.Errorf("%d plain files were fetched", plain)
	}
	if asked := s.requests("/download/" + id + "/next"); asked < fragments {
		t.Errorf("the origin was asked %d times for %d fragments", asked, fragments)
	}
	if err := s.server.Stop(); err != nil { // so that the ledger is whole
		t.Fatal(err)
	}
	bytes, leases := s.sent("lyon")
	total, again := int64(0), 0
	for index := range core.FragmentIndex(fragments) {
		total += bytes[index]
		switch {
		case leases[index] > 2:
			t.Errorf("fragment %d was lent %d times", index, leases[index])
		case leases[index] == 2:
			again++
		}
	}
	size, err := os.Stat(archive)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d fragments, %d of them lent again, %d bytes sent of %d", len(bytes), again, total, size.Size())
	// An agent that is alone is sent two fragments at once. What the server's end lost of its ledger is repaired.
	if again > 2 || total > size.Size()+fragmentSize || total < size.Size()-2*fragmentSize {
		t.Errorf("%d bytes sent of %d, %d fragments lent again", total, size.Size(), again)
	}
}

// TestKept: a package that has ended is kept for others, until it is deleted at the server.
func TestKept(t *testing.T) {
	s := newSite(t)
	id := s.deploy("--action", "STORE", "--path", s.folder+"/stored", "--file", s.script("true", 300<<10),
		"--fragment-size", "64KiB")
	if err := s.member.Start(); err != nil {
		t.Fatal(err)
	}
	s.waitFor("the result", func() bool {
		return strings.Contains(s.must("rollout", "status", "--package", id, "--json"), `"SUCCESS":1`)
	})
	kept := filepath.Join(s.member.State, "packages", id, "ended")
	s.waitFor("the package to be kept", func() bool { _, err := os.Stat(kept); return err == nil })
	s.must("package", "delete", "--package", id)
	s.waitFor("the package to go", func() bool { _, err := os.Stat(filepath.Dir(kept)); return os.IsNotExist(err) })
	if log := s.fullLog(s.member); !strings.Contains(log, "it is withdrawn") {
		t.Error("it did not go because it was withdrawn")
	}
}
