package link

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

const (
	benchFragment = 512 << 10
	benchInFlight = 4
)

// transfers moves b.N fragments, a few at once, by fetch.
func transfers(b *testing.B, fetch func(buffer []byte) error) {
	b.SetBytes(benchFragment)
	left := make(chan struct{})
	errs := make(chan error, benchInFlight)
	for range benchInFlight {
		go func() {
			buffer := make([]byte, benchFragment)
			for range left {
				if err := fetch(buffer); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	b.ResetTimer()
	for range b.N {
		select {
		case left <- struct{}{}:
		case err := <-errs:
			b.Fatal(err)
		}
	}
	close(left)
	for range benchInFlight {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFragments compares a fragment a stream over a Host with the same over QUIC alone.
func BenchmarkFragments(b *testing.B) {
	data := make([]byte, benchFragment)
	b.Run("host", func(b *testing.B) {
		from, to := listen(b, 1, "lyon"), listen(b, 2, "lyon")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() {
			for {
				stream, err := to.Accept(ctx)
				if err != nil {
					return
				}
				go func() {
					_, _ = stream.Read(make([]byte, 1))
					_, _ = stream.Write(data)
					_ = stream.Close()
				}()
			}
		}()
		transfers(b, func(buffer []byte) error {
			stream, err := from.Open(ctx, to.member())
			if err != nil {
				return err
			}
			defer stream.Close()
			if _, err := stream.Write([]byte{1}); err != nil {
				return err
			}
			_, err = io.ReadFull(stream, buffer)
			return err
		})
	})
	b.Run("quic", func(b *testing.B) {
		server, client := rawQUIC(b)
		go func() {
			for {
				stream, err := server.AcceptStream(context.Background())
				if err != nil {
					return
				}
				go func() {
					_, _ = stream.Read(make([]byte, 1))
					_, _ = stream.Write(data)
					_ = stream.Close()
					stream.CancelRead(0)
				}()
			}
		}()
		transfers(b, func(buffer []byte) error {
			stream, err := client.OpenStreamSync(context.Background())
			if err != nil {
				return err
			}
			if _, err := stream.Write([]byte{1}); err != nil {
				return err
			}
			_, err = io.ReadFull(stream, buffer)
			_ = stream.Close()   // the other side may have read enough
			stream.CancelRead(0) // or the stream stays open until its end is read
			return err
		})
	})
}

// rawQUIC returns both ends of one connection of QUIC alone.
func rawQUIC(b *testing.B) (server, client *quic.Conn) {
	b.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		b.Fatal(err)
	}
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	listener, err := quic.Listen(conn, &tls.Config{
		Certificates: []tls.Certificate{certificate}, NextProtos: []string{"x"}, SessionTicketsDisabled: true,
	}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = listener.Close(); _ = conn.Close() })
	accepted := make(chan *quic.Conn, 1)
	go func() {
		one, err := listener.Accept(context.Background())
		if err == nil {
			accepted <- one
		}
	}()
	client, err = quic.DialAddr(b.Context(), conn.LocalAddr().String(),
		&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"x"}}, nil)
	if err != nil {
		b.Fatal(err)
	}
	return <-accepted, client
}
