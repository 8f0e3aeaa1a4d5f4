package lab

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/wanrate"
)

// TestRate: three lines that are offered more than they carry; each carries what it should, within 2 %. A busy computer
// disturbs what is sent, carried and measured, so there are some tries.
func TestRate(t *testing.T) {
	rates := []wanrate.Rate{2_000_000, 10_000_000, 20_000_000}
	var sites []Site
	for i, rate := range rates {
		site := Site{Name: core.SiteName(fmt.Sprint("site", i)), Hosts: 1, Down: rate, Up: 1_000_000, Queue: time.Second}
		sites = append(sites, site)
	}
	lab := started(t, sites...)
	conn := socket(t, lab, ServerHost, ServerAddress)
	right := make([]bool, len(rates))
	for try := 0; try < 10 && slices.Contains(right, false); try++ {
		for i, carried := range overload(t, lab, conn, rates) {
			t.Logf("%v: carried %.4g bit/s", rates[i], carried)
			ratio := carried / float64(rates[i])
			right[i] = right[i] || ratio > 0.98 && ratio < 1.02
		}
	}
	for i, rate := range rates {
		if !right[i] {
			t.Errorf("%v: it never carried that", rate)
		}
	}
}

// overload sends half too much to the first host of each site for some seconds, and returns what the lines carried, in
// bits a second, once their queues were getting full.
func overload(t *testing.T, lab *Lab, conn *net.UDPConn, rates []wanrate.Rate) []float64 {
	t.Helper()
	full := make([]byte, payload-28) // IP and UDP headers are 28 bytes
	stop := time.After(4500 * time.Millisecond)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var before []Counter
	began, sent := time.Now(), make([]float64, len(rates))
	var opened time.Time
	for running := true; running || before == nil; {
		select {
		case <-stop:
			running = false
		case <-tick.C:
		}
		for i, rate := range rates {
			due := time.Since(began).Seconds() * float64(rate) / 8 * 1.5 / frame // packets: half too many
			for ; sent[i] < due; sent[i]++ {
				_, _ = conn.WriteToUDPAddrPort(full, first(i)) // the queue is full, and says so
			}
		}
		if before == nil && time.Since(began) > time.Second {
			before, opened = counters(t, lab), time.Now()
		}
	}
	after, measured := counters(t, lab), time.Since(opened)
	carried := make([]float64, len(rates))
	for i := range rates {
		carried[i] = float64(after[i].Down.Packets-before[i].Down.Packets) * frame * 8 / measured.Seconds()
	}
	return carried
}
