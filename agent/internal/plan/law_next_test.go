package plan

import (
	"time"

	"pgregory.net/rapid"

	"enjambre/peer/next"
)

// check holds a request to what can be sent.
func (w *chaos) check(request next.Request, have []byte) {
	upgraded := request
	upgraded.Have, upgraded.Acknowledged = have, nil
	for _, one := range []next.Request{request, upgraded} {
		if err := one.Put(next.Header{}); err != nil {
			w.t.Fatalf("%+v cannot be sent: %v", one, err)
		}
	}
}

func (w *chaos) origin() Origin {
	if rapid.Bool().Draw(w.t, "leases") {
		return Origin{Address: "a:443", AtRate: rapid.Bool().Draw(w.t, "rate")}
	}
	return Origin{}
}

func (w *chaos) askedNext() {
	asked := take(w, &w.nexts)
	id, index := asked.Package, asked.Request.Want[0]
	switch kind := rapid.IntRange(0, 8).Draw(w.t, "next"); {
	case kind == 0:
		w.step(NextFailed{Package: id, Problem: "nobody there"})
	case kind == 1:
		w.step(NextUnknown{Package: id})
	case kind == 2:
		w.step(NextGone{Package: id})
	case kind == 3:
		w.step(NextComplete{Package: id})
	case kind == 4:
		pause := time.Duration(rapid.IntRange(100, 10_000).Draw(w.t, "pause")) * time.Millisecond
		holder := [32]byte{byte(rapid.IntRange(0, 3).Draw(w.t, "holder"))}
		reason := rapid.SampledFrom([]string{"leased", "spent"}).Draw(w.t, "reason")
		w.step(OriginRefused{Package: id, Index: index, Holder: holder, RetryAfter: pause, Reason: reason})
	case kind == 5 || w.vault[id] == nil:
		w.step(FragmentFailed{Package: id, Index: index, Corrupt: rapid.Bool().Draw(w.t, "corrupt")})
	default:
		w.vault[id].Add(index)
		w.step(FragmentStored{Package: id, Index: index})
	}
}

func (w *chaos) told() {
	id := take(w, &w.acks).Package
	kind := rapid.IntRange(0, 3).Draw(w.t, "told")
	w.step(Acknowledged{Package: id, Heard: kind > 0, Withdrawn: kind == 1})
}
