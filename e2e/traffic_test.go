package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestSiteTraffic: the server counts, while it runs, what an enrolled agent of a site fetched.
func TestSiteTraffic(t *testing.T) {
	s := newSite(t)
	id := s.deploy("--action", "STORE", "--path", filepath.Join(s.folder, "stored"), "--fragment-size", "64KiB",
		"--file", s.script("exit 0", 300<<10))
	s.once()
	s.want(id, "SUCCESS", "SUCCESS")
	type traffic struct {
		Site, Package             string
		PackageBytes, OriginBytes int64
		Copies                    float64
		Extra                     map[string]int64
	}
	var shown struct{ Traffic []traffic }
	s.waitFor("the ledger", func() bool {
		if err := s.server.JSON(t.Context(), &shown, "site", "traffic", "lyon"); err != nil {
			t.Fatal(err)
		}
		return len(shown.Traffic) == 1 && shown.Traffic[0].OriginBytes >= shown.Traffic[0].PackageBytes
	})
	if one := shown.Traffic[0]; one.Site != "lyon" || one.Package != id || one.PackageBytes < 300<<10 || one.Copies != 1 ||
		one.OriginBytes != one.PackageBytes || len(one.Extra) != 0 {
		t.Errorf("got %+v", one)
	}
}

// TestOnlineKeyOfOldFolder: a data folder made before there was an online key has one after its first start, and
// keeps it.
func TestOnlineKeyOfOldFolder(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	name := filepath.Join(server.Data, "keys", "online.pem")
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() }) // which the test has done, unless it fails
	var keys [2][]byte
	for i := range keys {
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		var err error
		if keys[i], err = os.ReadFile(name); err != nil {
			t.Error(err)
		}
		if err := server.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(keys[0], keys[1]) {
		t.Error("the second start made another key")
	}
}
