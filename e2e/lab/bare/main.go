// Command bare moves a file from one computer to another by QUIC, as members of a swarm do, and does nothing besides
// that they must do too: it is what their costs are measured against.
//
//	bare give ADDRESS:PORT FILE
//	bare fetch ADDRESS:PORT FILE DIGESTS
//
// One connection with the windows that members have, a stream for each fragment of 512 KiB, 4 at once. Who gives reads
// each fragment from the file. Who fetches has a FILE of the same size whose room is really there, hashes each fragment,
// compares that with its SHA-256 in DIGESTS, writes it to its place, and syncs the file after every 16, as a vault does.
// TLS is Go's with its own choice of ciphers, as members have it; a certificate proves nothing here.
//
// Who gives says "ready" and its address when it listens; who fetches, "ready" and the cipher suite when it is connected.
// It then waits for a line, says "done" when all is there and synced, and waits for the end of its input, so that what the
// fragments have cost can be read. Both give up after 5 minutes.
package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"enjambre/core"
	"enjambre/core/fragment"
)

const (
	fragmentSize = 512 << 10
	inFlight     = 4
	syncEvery    = 16
	allTime      = 5 * time.Minute
	protocol     = "bare"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), allTime)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	switch {
	case len(args) == 3 && args[0] == "give":
		return give(ctx, args[1], args[2], out)
	case len(args) == 4 && args[0] == "fetch":
		return fetch(ctx, args[1], args[2], args[3], in, out)
	}
	return errors.New("usage: bare give ADDRESS:PORT FILE, or bare fetch ADDRESS:PORT FILE DIGESTS")
}

// windows are those of libp2p's transport, which members have.
func windows() *quic.Config {
	return &quic.Config{MaxStreamReceiveWindow: 10 << 20, MaxConnectionReceiveWindow: 15 << 20}
}

// give serves one connection until it ends.
func give(ctx context.Context, address, path string, out io.Writer) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	certificate, err := selfSigned()
	if err != nil {
		return err
	}
	listener, err := quic.ListenAddr(address, &tls.Config{
		Certificates: []tls.Certificate{certificate}, NextProtos: []string{protocol}, SessionTicketsDisabled: true,
	}, windows())
	if err != nil {
		return err
	}
	defer listener.Close()
	fmt.Fprintln(out, "ready", listener.Addr())
	conn, err := listener.Accept(ctx)
	if err != nil {
		return err
	}
	buffers := sync.Pool{New: func() any { return new([fragmentSize]byte) }}
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		stream, err := conn.AcceptStream(ctx)
		if err != nil {
			return nil // whoever fetches has what it wanted, and says itself if not
		}
		serving.Go(func() {
			buffer := buffers.Get().(*[fragmentSize]byte)
			defer buffers.Put(buffer)
			if err := answer(stream, file, buffer[:]); err != nil {
				fmt.Fprintln(os.Stderr, "bare:", err)
				stream.CancelWrite(0)
			}
		})
	}
}

// answer reads which fragment is asked for, and sends it by way of a buffer.
func answer(stream *quic.Stream, from io.ReaderAt, buffer []byte) error {
	defer stream.CancelRead(0) // or the stream stays open until its end is read
	var asked [4]byte
	if _, err := io.ReadFull(stream, asked[:]); err != nil {
		return err
	}
	n, err := from.ReadAt(buffer, int64(binary.BigEndian.Uint32(asked[:]))*fragmentSize)
	if err != nil && err != io.EOF { // the last fragment may be shorter
		return err
	}
	if _, err := stream.Write(buffer[:n]); err != nil {
		return err
	}
	return stream.Close()
}

// selfSigned makes a certificate, as small as a member's.
func selfSigned() (tls.Certificate, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// fetch fetches all fragments, when it is told to.
func fetch(ctx context.Context, address, path, digestsPath string, in io.Reader, out io.Writer) (err error) {
	target, err := openVessel(path, digestsPath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.file.Close()) }()
	conn, err := dial(ctx, address)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ready", tls.CipherSuiteName(conn.ConnectionState().TLS.CipherSuite))
	told := bufio.NewReader(in)
	if _, err := told.ReadString('\n'); err != nil {
		return fmt.Errorf("wait to be told: %w", err)
	}
	if err := fetchAll(ctx, conn, target); err != nil {
		return err
	}
	fmt.Fprintln(out, "done")
	_, _ = told.ReadString('\n') // until whoever started us has looked
	return conn.CloseWithError(0, "")
}

// dial connects from a socket as members have it: of IPv4 alone.
func dial(ctx context.Context, address string) (*quic.Conn, error) {
	to, err := net.ResolveUDPAddr("udp4", address)
	if err != nil {
		return nil, err
	}
	socket, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return nil, err
	}
	return quic.Dial(ctx, socket, to, &tls.Config{
		InsecureSkipVerify: true, // nothing is secret, and the digests prove what comes
		NextProtos:         []string{protocol},
	}, windows())
}

// fetchAll fetches every fragment, a few at once.
func fetchAll(ctx context.Context, conn *quic.Conn, to *vessel) error {
	indexes := make(chan core.FragmentIndex)
	failed := make([]error, inFlight)
	var all sync.WaitGroup
	for worker := range inFlight {
		all.Go(func() {
			buffer := make([]byte, fragmentSize)
			for index := range indexes {
				if failed[worker] == nil {
					failed[worker] = fetchOne(ctx, conn, index, to, buffer)
				}
			}
		})
	}
	for index := range core.FragmentIndex(to.plan.Count()) {
		indexes <- index
	}
	close(indexes)
	all.Wait()
	return errors.Join(append(failed, to.file.Sync())...)
}

// fetchOne fetches a fragment on a stream of its own, by way of a buffer.
func fetchOne(ctx context.Context, conn *quic.Conn, index core.FragmentIndex, to *vessel, buffer []byte) error {
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	defer stream.CancelRead(0) // or the stream stays open until its end is read
	if _, err := stream.Write(binary.BigEndian.AppendUint32(nil, uint32(index))); err != nil {
		return err
	}
	_ = stream.Close() // it fails when the answer was so fast that the other side hears no more of us
	data := buffer[:to.plan.Size(index)]
	if _, err := io.ReadFull(stream, data); err != nil {
		return fmt.Errorf("fragment %d: %w", index, err)
	}
	return to.store(index, data)
}

// A vessel is a file that is filled with fragments.
type vessel struct {
	plan    fragment.Plan
	digests fragment.Digests

	mu      sync.Mutex // guards what is below, and is held while the file is written, as a vault's is
	file    *os.File
	written int
}

// openVessel opens a file, whose size is that of the archive that it will be, and reads the digests of the fragments.
func openVessel(path, digestsPath string) (_ *vessel, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	v := &vessel{file: file}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	stat, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if v.plan, err = fragment.NewPlan(stat.Size(), fragmentSize); err != nil {
		return nil, err
	}
	list, err := os.ReadFile(digestsPath)
	if err == nil {
		v.digests, err = fragment.ParseDigests(list, v.plan, sha256.Sum256(list))
	}
	return v, err
}

// store verifies a fragment and writes it.
func (v *vessel) store(index core.FragmentIndex, data []byte) error {
	if err := v.digests.Verify(index, data, v.plan); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, err := v.file.WriteAt(data, v.plan.Offset(index)); err != nil {
		return err
	}
	if v.written++; v.written%syncEvery != 0 {
		return nil
	}
	return v.file.Sync()
}
