package swarm

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"enjambre/agent/internal/vault"
	"enjambre/core"
	"enjambre/core/fragment"
	"enjambre/core/info"
	"enjambre/core/seal"
	"enjambre/peer"
	"enjambre/peer/id"
	"enjambre/peer/link"
	"enjambre/peer/owner"
	"enjambre/peer/wire"
)

const (
	fragmentSize = 64 << 10
	fragments    = 40

	patience = 3 * time.Minute // bounds every wait: only what hangs comes to it
)

var signer = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{200}, ed25519.SeedSize))

// A parcel is a package as every member has its info file.
type parcel struct {
	sealed  vault.Sealed
	digests []byte
	archive []byte
}

func newParcel(t testing.TB) parcel { return newParcelOf(t, fragmentSize, fragments) }

// newParcelOf makes a package of so many fragments of so many bytes.
func newParcelOf(t testing.TB, fragmentSize, fragments int64) parcel {
	t.Helper()
	archive := make([]byte, fragments*fragmentSize-1234)
	chance := rand.NewChaCha8([32]byte{1})
	_, _ = chance.Read(archive)
	plan, err := fragment.NewPlan(int64(len(archive)), fragmentSize)
	if err != nil {
		t.Fatal(err)
	}
	var digests fragment.Digests
	for index := range core.FragmentIndex(plan.Count()) {
		digests = append(digests, core.DigestOf(archive[plan.Offset(index):][:plan.Size(index)]))
	}
	described := info.Info{
		ID: 1700000001, OS: core.Linux, Action: core.Store, Target: "/x", Protocol: info.HTTPS, ExecTime: time.Hour,
		Issued: time.Unix(1700000001, 0).UTC(), Deployment: "test",
		Archive: &info.Archive{Plan: plan, Digest: core.DigestOf(archive), Digests: core.DigestOf(digests.Bytes()), Entries: 1},
	}
	envelope, err := seal.Sign(seal.InfoType, described.Canonical(), signer)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := vault.Unseal(envelope, policy(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return parcel{sealed, digests.Bytes(), archive}
}

func policy() seal.Policy {
	return seal.Policy{Threshold: 1, Keys: []seal.Key{{Public: signer.Public().(ed25519.PublicKey), Owner: "o"}}}
}

// A member is an agent's swarm with a real vault and a real connection, and the owner of its one download.
type member struct {
	*Swarm
	t        testing.TB
	host     *link.Host
	vault    *vault.Vault
	pack     *vault.Package
	download *peer.Download
	events   chan peer.Event
	done     chan struct{}
}

func newMember(t testing.TB, n byte, p parcel) *member { return newMemberOn(t, n, p, nil) }

// newMemberOn returns a member whose fragments are on a disk of its own, unless open is nil.
func newMemberOn(t testing.TB, n byte, p parcel, open func(string) (vault.Data, error)) *member {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
	m := &member{t: t, events: make(chan peer.Event), done: make(chan struct{})}
	var err error
	m.host, err = link.Listen(link.Options{
		Key: key, Listen: netip.MustParseAddrPort("0.0.0.0:0"),
		Hello: func() (wire.Hello, error) {
			return wire.Hello{Version: wire.Version, Weight: owner.Medium, Certificate: []byte{1}, Ticket: []byte{1}}, nil
		},
		Judge: func(id.Peer, wire.Hello) (wire.Code, error) { return 0, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	m.vault, err = vault.Open(t.TempDir(), vault.Options{
		Policy: policy(), Deployment: "test", Log: slog.New(slog.DiscardHandler), Reserve: 1, OpenData: open,
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.pack, err = m.vault.Add(p.sealed, p.digests); err != nil {
		t.Fatal(err)
	}
	m.Swarm = New(Options{
		Host: m.host, Vault: m.vault, Weight: func(id.Peer) owner.Weight { return owner.Medium },
		Random: rand.New(rand.NewPCG(uint64(n), 5)),
	})
	m.Share(p.sealed.Digest)
	return m
}

// start lets the member work until the test ends.
func (m *member) start() {
	ctx, cancel := context.WithCancel(context.Background())
	m.download = peer.NewDownload(m.pack.Held(), peer.Options{
		Self: m.host.ID(), Weight: owner.Medium, Info: m.pack.InfoDigest(), Leases: true, Random: m.options.Random,
	})
	ended := make(chan struct{}, 2)
	go func() { m.Run(ctx); ended <- struct{}{} }()
	go func() { m.own(ctx); ended <- struct{}{} }()
	m.t.Cleanup(func() {
		cancel()
		<-ended
		<-ended
		if err := errors.Join(m.host.Close(), m.vault.Close()); err != nil {
			m.t.Error(err)
		}
	})
}

// own owns the download.
func (m *member) own(ctx context.Context) {
	complete := m.download.Missing() == 0
	for {
		var event peer.Event
		pause := time.Hour
		if wake, wants := m.download.NextWake(); wants {
			pause = time.Until(wake)
		}
		timer := time.NewTimer(max(pause, 0))
		select {
		case <-ctx.Done():
			return
		case report := <-m.Reports():
			if event = report.Event; event == nil {
				timer.Stop()
				continue
			}
		case event = <-m.events:
		case <-timer.C:
			event = peer.WakeDue{}
		}
		timer.Stop()
		for _, action := range m.download.Step(time.Now(), event) {
			m.do(ctx, action)
		}
		if !complete && m.download.Missing() == 0 {
			complete = true
			close(m.done)
		}
	}
}

func (m *member) do(ctx context.Context, action peer.Action) {
	switch action := action.(type) {
	case peer.Announce:
		m.Announce(action.Peer, m.pack.InfoDigest(), action.Indexes)
	case peer.FetchFromMember:
		go func() {
			event := m.obtain(ctx, action)
			select {
			case m.events <- event:
			case <-ctx.Done():
			}
		}()
	}
}

func (m *member) obtain(ctx context.Context, fetch peer.FetchFromMember) peer.Event {
	size := m.pack.Info().Archive.Plan.Size(fetch.Index)
	store := func(data []byte) error { return m.pack.Store(fetch.Index, data) }
	err := m.Fetch(ctx, link.Member{ID: fetch.Peer}, m.pack.InfoDigest(), fetch.Index, size, func() {}, store)
	var failed *FetchError
	if errors.As(err, &failed) {
		return peer.FetchFailed{Peer: fetch.Peer, Index: fetch.Index, Why: failed.Why, RetryAfter: failed.RetryAfter}
	}
	if err != nil {
		return peer.FetchFailed{Peer: fetch.Peer, Index: fetch.Index, Why: peer.Corrupt}
	}
	return peer.FragmentStored{Index: fetch.Index, From: fetch.Peer}
}

func (m *member) reach() link.Member {
	return link.Member{ID: m.host.ID(), Address: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), m.host.Port())}
}

// fill stores fragments as if the origin had given them.
func (m *member) fill(p parcel, indexes ...core.FragmentIndex) {
	m.t.Helper()
	plan := p.sealed.Info.Archive.Plan
	for _, index := range indexes {
		if err := m.pack.Store(index, p.archive[plan.Offset(index):][:plan.Size(index)]); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m *member) isDone() {
	m.t.Helper()
	select {
	case <-m.done:
	case <-time.After(patience):
		m.t.Fatalf("member %s is not done", m.host.ID())
	}
	if err := m.pack.Rehash(m.t.Context()); err != nil {
		m.t.Error(err)
	}
}

// TestExchange: members that each have a part of a package all have the whole, over real connections, in a chain where
// the ends never meet.
func TestExchange(t *testing.T) {
	p := newParcel(t)
	var members []*member
	for n := byte(1); n <= 4; n++ {
		m := newMember(t, n, p)
		for index := core.FragmentIndex(n - 1); index < fragments; index += 4 {
			m.fill(p, index)
		}
		m.start()
		members = append(members, m)
	}
	for i := range members[:3] {
		if err := members[i].Meet(t.Context(), members[i+1].reach()); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range members {
		m.isDone()
	}
}

// TestLargeFragments: several large fragments come at once, in both directions, on one connection.
func TestLargeFragments(t *testing.T) {
	p := newParcelOf(t, 512<<10, fragments)
	var members []*member
	for n := byte(1); n <= 2; n++ {
		m := newMember(t, n, p)
		for index := core.FragmentIndex(n - 1); index < fragments; index += 2 {
			m.fill(p, index)
		}
		m.start()
		members = append(members, m)
	}
	if err := members[0].Meet(t.Context(), members[1].reach()); err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		m.isDone()
	}
}

// TestBothDial: two members that dial each other at once keep one conversation.
func TestBothDial(t *testing.T) {
	p := newParcel(t)
	for range 10 {
		a, b := newMember(t, 1, p), newMember(t, 2, p)
		for index := range core.FragmentIndex(fragments) {
			a.fill(p, index)
		}
		a.start()
		b.start()
		errs := make(chan error, 2)
		go func() { errs <- a.Meet(t.Context(), b.reach()) }()
		go func() { errs <- b.Meet(t.Context(), a.reach()) }()
		for range 2 {
			if err := <-errs; err != nil {
				t.Log(err) // one of the two may be refused in favour of the other
			}
		}
		b.isDone()
	}
}

// TestAnswers: what is asked for and cannot be given.
func TestAnswers(t *testing.T) {
	p := newParcel(t)
	a, b := newMember(t, 1, p), newMember(t, 2, p)
	a.fill(p, 0, 1)
	a.start()
	b.start()
	fetch := func(digest core.Digest, index core.FragmentIndex, size int64) peer.Failure {
		t.Helper()
		err := b.Fetch(t.Context(), a.reach(), digest, index, size, func() {}, func(data []byte) error {
			if !bytes.Equal(data, p.archive[int(index)*fragmentSize:][:size]) {
				t.Error("other bytes")
			}
			return nil
		})
		if err == nil {
			return 0
		}
		var failed *FetchError
		if !errors.As(err, &failed) {
			t.Fatal(err)
		}
		return failed.Why
	}
	digest := p.sealed.Digest
	for _, c := range []struct {
		digest core.Digest
		index  core.FragmentIndex
		size   int64
		want   peer.Failure
	}{
		{digest, 0, fragmentSize, 0}, {digest, 2, fragmentSize, peer.Absent}, {core.Digest{9}, 0, fragmentSize, peer.Absent},
		{digest, 1, fragmentSize - 1, peer.Corrupt}, {digest, 1, fragmentSize, 0},
	} {
		if got := fetch(c.digest, c.index, c.size); got != c.want {
			t.Errorf("%+v: got %d", c, got)
		}
	}
	for range UploadSlots {
		a.uploads <- struct{}{}
	}
	if got := fetch(digest, 0, fragmentSize); got != peer.Occupied {
		t.Errorf("with all slots taken: %d", got)
	}
	for range UploadSlots {
		<-a.uploads
	}
	a.Unshare(digest)
	if got := fetch(digest, 0, fragmentSize); got != peer.Absent {
		t.Errorf("not shared any more: %d", got)
	}
}

// TestDocuments: info file and digests travel between members, too.
func TestDocuments(t *testing.T) {
	p := newParcel(t)
	a, b := newMember(t, 1, p), newMember(t, 2, p)
	a.start()
	b.start()
	envelope, err := b.Info(t.Context(), a.reach(), p.sealed.Digest)
	if err != nil || !bytes.Equal(envelope, p.sealed.Envelope) {
		t.Errorf("got %v", err)
	}
	digests, err := b.Digests(t.Context(), a.reach(), p.sealed.Digest)
	if err != nil || !bytes.Equal(digests, p.digests) {
		t.Errorf("got %v", err)
	}
	if _, err := b.Info(t.Context(), a.reach(), core.Digest{}); err == nil {
		t.Error("a package that nobody has is given")
	}
	for _, ask := range []wire.Frame{wire.AskInfo{Info: p.sealed.Digest}, wire.AskDigests{Info: p.sealed.Digest}, wire.AskInfo{}} {
		stream, err := b.host.Open(t.Context(), a.reach())
		if err != nil {
			t.Fatal(err)
		}
		data, err := wire.Append(nil, ask)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Write(data); err != nil {
			t.Fatal(err)
		}
		answer, err := wire.Read(stream, ask.Kind().Answers()...)
		if err != nil {
			t.Fatal(err)
		}
		switch answer := answer.(type) {
		case wire.Info:
			if !bytes.Equal(answer.Envelope, p.sealed.Envelope) {
				t.Error("another info file")
			}
		case wire.Digests:
			if !bytes.Equal(answer.List.Bytes(), p.digests) {
				t.Error("other digests")
			}
		case wire.Missing:
			if ask != (wire.AskInfo{}) {
				t.Errorf("%+v is missing", ask)
			}
		default:
			t.Errorf("got %+v", answer)
		}
		_ = stream.Close()
	}
}

// TestHeardEarly: what a neighbour says of a package before we know it is not lost, and nothing of a package is reported
// that is not shared.
func TestHeardEarly(t *testing.T) {
	p := newParcel(t)
	a, b := newMember(t, 1, p), newMember(t, 2, p)
	a.fill(p, 0, 1, 2)
	a.start()
	b.Unshare(p.sealed.Digest)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { b.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended; _ = b.host.Close(); _ = b.vault.Close() })
	if err := b.Meet(ctx, a.reach()); err != nil {
		t.Fatal(err)
	}
	if report := next(t, b); report.Came != a.host.ID() || report.Event != nil {
		t.Fatalf("got %+v", report)
	}
	waitFor(t, func() bool { return len(b.Sharers(p.sealed.Digest)) == 1 })
	a.fill(p, 3)
	a.Announce(b.host.ID(), p.sealed.Digest, []core.FragmentIndex{3})
	waitFor(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.neighbours[a.host.ID()].holdings[p.sealed.Digest].set.Count() == 4
	})
	joined := b.Share(p.sealed.Digest)
	if len(joined) != 1 {
		t.Fatalf("got %+v", joined)
	}
	if joined := joined[0].(peer.NeighbourJoined); joined.Peer != a.host.ID() || joined.Held.Count() != 4 || !joined.Wants {
		t.Errorf("got %+v", joined)
	}
	a.fill(p, 4)
	a.Renew(p.sealed.Digest) // a whole bitmap: only what has changed is told
	if has, is := next(t, b).Event.(peer.NeighbourHas); !is || len(has.Indexes) != 1 || has.Indexes[0] != 4 {
		t.Errorf("got %+v", has)
	}
	a.Unshare(p.sealed.Digest)
	waitFor(t, func() bool {
		_, left := next(t, b).Event.(peer.NeighbourLeft)
		return left
	})
	if got := b.Share(p.sealed.Digest); len(got) > 0 {
		t.Errorf("got %+v", got)
	}
}

// next returns what is reported next.
func next(t *testing.T, m *member) Report {
	t.Helper()
	select {
	case report := <-m.Reports():
		return report
	case <-time.After(patience):
		t.Fatal("nothing is reported")
		return Report{}
	}
}

// waitFor waits until a condition holds.
func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come about")
		}
	}
}

// TestTell: all neighbours are told but the one that is spared.
func TestTell(t *testing.T) {
	p := newParcel(t)
	m, spared, told := newMember(t, 1, p), newMember(t, 2, p), newMember(t, 3, p)
	heard := map[*member]chan wire.Frame{}
	for _, one := range []*member{spared, told} {
		frames := make(chan wire.Frame, 2)
		heard[one] = frames
		one.options.Heard = func(_ id.Peer, said wire.Frame) { frames <- said }
	}
	for _, one := range []*member{m, spared, told} {
		one.start()
	}
	for _, one := range []*member{spared, told} {
		if err := m.Meet(t.Context(), one.reach()); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.neighbours) == 2
	})
	first, second := wire.Epoch{Signed: []byte{1}}, wire.Epoch{Signed: []byte{2}}
	m.Tell(first, spared.host.ID())
	m.Tell(second, id.Peer{})
	for one, want := range map[*member]wire.Frame{told: first, spared: second} {
		select {
		case got := <-heard[one]:
			if !reflect.DeepEqual(got, want) {
				t.Errorf("the first word heard is %v, want %v", got, want)
			}
		case <-time.After(patience):
			t.Fatal("nothing is heard")
		}
	}
}

// TestHoldingsBounded: a neighbour cannot make us remember more than there is room for.
func TestHoldingsBounded(t *testing.T) {
	n := &neighbour{holdings: map[core.Digest]*holding{}}
	set := fragment.NewSet(core.MaxFragments)
	kept := 0
	for i := range 2 * maxHoldings {
		if n.keep(core.DigestOf([]byte{byte(i), byte(i >> 8)}), &holding{size: set.Size(), set: set}) {
			kept++
		}
	}
	if kept != maxHoldingSize/(core.MaxFragments/8) || n.holdingBytes > maxHoldingSize {
		t.Errorf("%d kept, %d bytes", kept, n.holdingBytes)
	}
	for info := range n.holdings {
		n.drop(info)
	}
	for i := range 2 * maxHoldings {
		n.keep(core.DigestOf([]byte{byte(i), byte(i >> 8)}), &holding{size: 1})
	}
	if len(n.holdings) != maxHoldings || n.holdingBytes != 0 {
		t.Errorf("%d kept, %d bytes", len(n.holdings), n.holdingBytes)
	}
}

// TestNonsense: whoever says what no member says is disconnected.
func TestNonsense(t *testing.T) {
	p := newParcel(t)
	a, b := newMember(t, 1, p), newMember(t, 2, p)
	a.start()
	if err := b.host.Greet(t.Context(), a.reach()); err != nil {
		t.Fatal(err)
	}
	control, err := b.host.Greeted(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.host.Close()
	if _, err := fmt.Fprint(control, "\x63nonsense"); err != nil {
		t.Fatal(err)
	}
	if err := control.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := wire.Read(control, wire.ControlKinds()...); err != nil {
			break
		}
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		a.mu.Lock()
		left := len(a.neighbours)
		a.mu.Unlock()
		if left == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it is a neighbour still")
		}
	}
}
