//go:build unix

package swarm

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/sys/unix"

	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/peer"
	"enjambre/peer/link"
)

const (
	costFragment  = 512 << 10
	costFragments = 512 // 256 MiB
	costInFlight  = 4
)

// BenchmarkCost compares what two members spend on a package, both together, with what QUIC alone spends that reads, hashes
// and writes the same fragments, in alternating runs. Its figures are medians: CPU seconds a GiB, and their ratio.
func BenchmarkCost(b *testing.B) {
	p := newParcelOf(b, costFragment, costFragments)
	var ours, raw, ratios []float64
	for range b.N {
		one, other := cpuOf(b, readyMembers(b, p)), cpuOf(b, readyQUIC(b, p))
		ours, raw, ratios = append(ours, one), append(raw, other), append(ratios, one/other)
	}
	b.ReportMetric(median(ours)*(1<<30)/(costFragment*costFragments), "member-cpu-s/GiB")
	b.ReportMetric(median(raw)*(1<<30)/(costFragment*costFragments), "quic-cpu-s/GiB")
	b.ReportMetric(median(ratios), "ratio")
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// A transfer is ready to run.
type transfer struct{ run, end func() }

// cpuOf returns the CPU seconds, of user and system, that this process spends on a transfer.
func cpuOf(b *testing.B, t transfer) float64 {
	defer t.end()
	runtime.GC()
	before := cpu(b)
	t.run()
	return (cpu(b) - before).Seconds()
}

func cpu(b *testing.B) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// fetchAll fetches every fragment, a few at once.
func fetchAll(b *testing.B, plan fragment.Plan, fetch func(core.FragmentIndex) error) {
	indexes := make(chan core.FragmentIndex)
	var all sync.WaitGroup
	for range costInFlight {
		all.Go(func() {
			for index := range indexes {
				if err := fetch(index); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for index := range core.FragmentIndex(plan.Count()) {
		indexes <- index
	}
	close(indexes)
	all.Wait()
}

// readyMembers makes two members of which one will give the other the whole package.
func readyMembers(b *testing.B, p parcel) transfer {
	b.Helper()
	from, to := newMember(b, 1, p), newMember(b, 2, p)
	from.fill(p, allOf(p)...)
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	for _, m := range []*member{from, to} {
		running.Go(func() { m.Run(ctx) })
		running.Go(func() {
			for {
				select {
				case <-m.Reports():
				case <-ctx.Done():
					return
				}
			}
		})
	}
	if err := to.Meet(ctx, from.reach()); err != nil {
		b.Fatal(err)
	}
	plan := p.sealed.Info.Archive.Plan
	run := func() {
		fetchAll(b, plan, func(index core.FragmentIndex) error {
			fetch := func() error {
				return to.Fetch(ctx, link.Member{ID: from.host.ID()}, p.sealed.Digest, index, plan.Size(index), func() {},
					func(data []byte) error { return to.pack.Store(index, data) })
			}
			err := fetch()
			var failed *FetchError
			for errors.As(err, &failed) && failed.Why == peer.Occupied { // the slot of the one before is not free yet
				time.Sleep(failed.RetryAfter)
				err = fetch()
			}
			return err
		})
		if to.pack.Missing() > 0 {
			b.Errorf("%d fragments are missing", to.pack.Missing())
		}
	}
	return transfer{run, func() {
		cancel()
		running.Wait()
		for _, m := range []*member{from, to} {
			if err := errors.Join(m.host.Close(), m.vault.Close()); err != nil {
				b.Error(err)
			}
		}
	}}
}

// readyQUIC makes the same with nothing but QUIC, a hash and two files, of which one is synced as often as a vault's.
func readyQUIC(b *testing.B, p parcel) transfer {
	b.Helper()
	const syncEvery = 16
	plan := p.sealed.Info.Archive.Plan
	source, target := file(b), file(b)
	if _, err := source.Write(p.archive); err != nil {
		b.Fatal(err)
	}
	if err := source.Sync(); err != nil {
		b.Fatal(err)
	}
	server, client, end := rawQUIC(b)
	go func() {
		for {
			stream, err := server.AcceptStream(context.Background())
			if err != nil {
				return
			}
			go func() {
				var asked [4]byte
				_, _ = io.ReadFull(stream, asked[:])
				index := core.FragmentIndex(binary.BigEndian.Uint32(asked[:]))
				data := make([]byte, plan.Size(index))
				_, _ = source.ReadAt(data, plan.Offset(index))
				_, _ = stream.Write(data)
				_ = stream.Close()
				stream.CancelRead(0)
			}()
		}
	}()
	digests, err := fragment.ParseDigests(p.digests, plan, p.sealed.Info.Archive.Digests)
	if err != nil {
		b.Fatal(err)
	}
	var writing sync.Mutex
	written := 0
	save := func(data []byte, index core.FragmentIndex) error {
		writing.Lock()
		defer writing.Unlock()
		if _, err := target.WriteAt(data, plan.Offset(index)); err != nil {
			return err
		}
		if written++; written%syncEvery == 0 {
			return target.Sync()
		}
		return nil
	}
	run := func() {
		fetchAll(b, plan, func(index core.FragmentIndex) error { return rawFetch(client, digests, index, plan, save) })
	}
	return transfer{run, end}
}

// rawFetch fetches a fragment on a stream of its own, verifies and saves it.
func rawFetch(from *quic.Conn, digests fragment.Digests, index core.FragmentIndex, plan fragment.Plan,
	save func([]byte, core.FragmentIndex) error) error {
	stream, err := from.OpenStreamSync(context.Background())
	if err != nil {
		return err
	}
	if _, err := stream.Write(binary.BigEndian.AppendUint32(nil, uint32(index))); err != nil {
		return err
	}
	data := make([]byte, plan.Size(index))
	_, err = io.ReadFull(stream, data)
	_ = stream.Close()   // the other side may have read enough
	stream.CancelRead(0) // or the stream stays open until its end is read
	if err != nil {
		return err
	}
	if err := digests.Verify(index, data, plan); err != nil {
		return err
	}
	return save(data, index)
}

func file(b *testing.B) *os.File {
	b.Helper()
	made, err := os.Create(filepath.Join(b.TempDir(), "data"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = made.Close() })
	return made
}

// rawQUIC returns both ends of one connection of QUIC alone, with the windows that members have.
func rawQUIC(b *testing.B) (server, client *quic.Conn, end func()) {
	b.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(nil, template, template, signer.Public().(ed25519.PublicKey), signer)
	if err != nil {
		b.Fatal(err)
	}
	config := &quic.Config{MaxStreamReceiveWindow: 10 << 20, MaxConnectionReceiveWindow: 15 << 20}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	listener, err := quic.Listen(conn, &tls.Config{
		Certificates:           []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: signer}},
		NextProtos:             []string{"x"},
		SessionTicketsDisabled: true,
	}, config)
	if err != nil {
		b.Fatal(err)
	}
	accepted := make(chan *quic.Conn, 1)
	go func() {
		if one, err := listener.Accept(context.Background()); err == nil {
			accepted <- one
		}
	}()
	client, err = quic.DialAddr(b.Context(), conn.LocalAddr().String(),
		&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"x"}}, config)
	if err != nil {
		b.Fatal(err)
	}
	return <-accepted, client, func() {
		_ = client.CloseWithError(0, "")
		_ = listener.Close()
		_ = conn.Close()
	}
}
