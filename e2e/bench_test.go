package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/e2e/stage"
)

// callers is how many agents call at once in the benchmark.
const callers = 16

// BenchmarkProlog measures the CPU time that a real server process spends on one PROLOG of a known computer
// without news, over plain HTTP with keep-alive, while several call. The stock server spends 2.9 ms.
func BenchmarkProlog(b *testing.B) {
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
	send := func(document []byte) {
		response, err := client.Post(server.HTTP+"/ocsinventory", "application/x-compress", bytes.NewReader(ocs.Encode(document)))
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
	var prologs [][]byte
	for i := range 100 {
		device := core.DeviceID(fmt.Sprintf("pc%d-2026-01-01-00-00-00", i))
		send(inventoryOf(fmt.Sprint("pc", i)).Append(nil, device))
		prologs = append(prologs, ocs.AppendProlog(nil, device))
	}
	before := processTime(b, server.PID())
	b.SetParallelism(callers / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			send(prologs[i%len(prologs)])
		}
	})
	b.StopTimer() // a server that stops waits for connections that never asked anything
	spent := processTime(b, server.PID()) - before
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "server-us/prolog")
}

// processTime returns the CPU time that a process has used, from /proc.
func processTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip("needs /proc: ", err)
	}
	_, after, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(after) // utime and stime are the 14th and 15th of all
	total := 0
	for _, field := range fields[11:13] {
		ticks, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		total += ticks
	}
	return time.Duration(total) * time.Second / 100 // USER_HZ
}
