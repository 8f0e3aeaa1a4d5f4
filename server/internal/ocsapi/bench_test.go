package ocsapi

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"enjambre/core"
	"enjambre/core/ocs"
	"enjambre/server/internal/setting"
	"enjambre/server/internal/store"
)

// BenchmarkProlog is one contact without news of a known computer, without the network.
func BenchmarkProlog(b *testing.B) {
	folder := b.TempDir()
	if err := store.Create(b.Context(), folder); err != nil {
		b.Fatal(err)
	}
	opened, err := store.Open(b.Context(), folder)
	if err != nil {
		b.Fatal(err)
	}
	defer opened.Close()
	if err := opened.Set(b.Context(), "", setting.StockAgents, 1); err != nil {
		b.Fatal(err)
	}
	touches := make(chan store.Touch, 1)
	handler := New(Options{Store: opened, Enroller: newEnroller(b, opened), Log: slog.New(slog.DiscardHandler),
		Now: time.Now, Touch: touches})
	var bodies [][]byte
	for i := range 100 {
		device := core.DeviceID(fmt.Sprintf("pc%d-2026-01-01-00-00-00", i))
		if _, err := opened.SaveInventory(b.Context(), store.Facts{Computer: store.Computer{Device: device}}, "", time.Now()); err != nil {
			b.Fatal(err)
		}
		bodies = append(bodies, ocs.Encode(ocs.AppendProlog(nil, device)))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder,
			httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(bodies[i%len(bodies)])))
		if recorder.Code != http.StatusOK {
			b.Fatal(recorder.Code)
		}
		<-touches
	}
}
