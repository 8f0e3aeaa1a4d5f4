package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/e2e/stage"
)

// fullInventory is an inventory as the Unix agent sends it of a computer with 200 programs: 81 KiB.
func fullInventory(name string, change int) ocs.Inventory {
	inventory := inventoryOf(name)
	for i := range 200 {
		version := "1.2.3-4"
		if i < change {
			version = fmt.Sprint("2.0-", change)
		}
		inventory.Sections = append(inventory.Sections, ocs.Section{Name: "SOFTWARES", Fields: []ocs.Field{
			{Name: "COMMENTS", Value: fmt.Sprintf("a library of number %d that other programs use for whatever they do", i)},
			{Name: "FILESIZE", Value: fmt.Sprint(123456 + i)}, {Name: "FROM", Value: "deb"}, {Name: "PUBLISHER", Value: "Debian"},
			{Name: "INSTALLDATE", Value: "2026/01/02 03:04:05"}, {Name: "NAME", Value: fmt.Sprintf("libprogram%d", i)},
			{Name: "VERSION", Value: version}, {Name: "ARCHITECTURE", Value: "amd64"},
		}})
	}
	return inventory
}

// BenchmarkInventory measures the CPU time that a real server process spends on one inventory of 200 programs of a known
// computer, of which one has changed, and how many a second it takes from 16 senders, over plain HTTP with keep-alive.
func BenchmarkInventory(b *testing.B) {
	server, err := stage.NewServer(b.Context(), binary, b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			b.Error(err)
		}
	}()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	send := func(body []byte) {
		response, err := client.Post(server.HTTP+"/ocsinventory", "application/x-compress", bytes.NewReader(body))
		if err != nil {
			b.Error(err)
			return
		}
		defer response.Body.Close()
		var answer bytes.Buffer
		if _, err := answer.ReadFrom(response.Body); err != nil || response.StatusCode != http.StatusOK {
			b.Errorf("status %d, %v", response.StatusCode, err)
		}
	}
	const computers = 64
	var bodies [2][computers][]byte
	for i := range computers {
		device := core.DeviceID(fmt.Sprintf("pc%d-2026-01-01-00-00-00", i))
		for change := range bodies {
			bodies[change][i] = ocs.Encode(fullInventory(fmt.Sprint("pc", i), change).Append(nil, device))
		}
		send(bodies[0][i])
	}
	var mu sync.Mutex // guards next and times
	next, times := 0, make([]time.Duration, 0, b.N)
	before := processTime(b, server.PID())
	b.SetParallelism(callers / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			mu.Lock()
			i := next
			next++
			mu.Unlock()
			start := time.Now()
			send(bodies[(i/computers+1)%2][i%computers])
			mu.Lock()
			times = append(times, time.Since(start))
			mu.Unlock()
		}
	})
	b.StopTimer()
	spent := processTime(b, server.PID()) - before
	slices.Sort(times)
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "server-us/inventory")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "inventories/s")
	b.ReportMetric(float64(times[len(times)*99/100].Milliseconds()), "p99-ms")
}

// TestAcknowledgedInventories: what the server has answered is there after it was killed, however many sent at once.
func TestAcknowledgedInventories(t *testing.T) {
	server := started(t, newServer(t))
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	var mu sync.Mutex // guards acknowledged
	var acknowledged []core.DeviceID
	enough := make(chan struct{})
	var senders sync.WaitGroup
	for sender := range callers {
		senders.Go(func() {
			for i := range 1000 {
				name := fmt.Sprintf("pc%d-%d", sender, i)
				device := core.DeviceID(name + "-2026-01-01-00-00-00")
				response, err := client.Post(server.HTTP+"/ocsinventory", "application/x-compress",
					bytes.NewReader(ocs.Encode(fullInventory(name, 1).Append(nil, device))))
				if err != nil {
					return // it was killed
				}
				_ = response.Body.Close()
				if response.StatusCode != http.StatusOK {
					t.Errorf("status %d", response.StatusCode)
					return
				}
				mu.Lock()
				if acknowledged = append(acknowledged, device); len(acknowledged) == 5*callers {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	<-enough
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	senders.Wait()
	var found struct {
		Computers []struct{ Computer core.DeviceID }
	}
	if err := server.JSON(t.Context(), &found, "computer", "search", "--all"); err != nil {
		t.Fatal(err)
	}
	known := map[core.DeviceID]bool{}
	for _, one := range found.Computers {
		known[one.Computer] = true
	}
	for _, device := range acknowledged {
		if !known[device] {
			t.Errorf("%s was acknowledged and is lost", device)
		}
	}
	t.Logf("%d acknowledged, %d on record", len(acknowledged), len(known))
}
