package lineage

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"enjambre/core/ocs"
)

// id returns a contact's name by a number; 0 is none.
func id(number int) (id ocs.ContactID) {
	binary.BigEndian.PutUint64(id[8:], uint64(number))
	return id
}

// TestStep tells the stories that the decision is made for. Each contact is written as {contact, last};
// those of which want is true are a clone's.
func TestStep(t *testing.T) {
	type call struct {
		contact, last int
		want          bool
	}
	for name, calls := range map[string][]call{
		"one computer":             {{1, 0, false}, {2, 1, false}, {3, 2, false}, {4, 3, false}},
		"answers are lost":         {{1, 0, false}, {2, 1, false}, {3, 1, false}, {4, 1, false}, {5, 4, false}, {6, 5, false}},
		"the first answer is lost": {{1, 0, false}, {2, 0, false}, {3, 2, false}, {4, 3, false}},
		"a message comes twice":    {{1, 0, false}, {2, 1, false}, {2, 1, false}, {3, 2, false}, {3, 2, false}, {4, 3, false}},
		"a message comes late": {{1, 0, false}, {2, 1, false}, {4, 2, false}, {5, 4, false}, {3, 2, false}, {6, 5, false},
			{7, 6, false}, {8, 7, false}},
		"set back": {{1, 0, false}, {2, 1, false}, {3, 2, false}, {4, 1, false}, {5, 4, false}, {6, 5, false}},
		"set back every day to the same state": {{1, 0, false}, {2, 1, false}, {3, 2, false}, {4, 1, false}, {5, 4, false},
			{6, 1, false}, {7, 6, false}, {8, 1, false}, {9, 8, false}, {10, 1, false}, {11, 10, false}, {12, 1, false}},
		"the server forgot": {{1, 0, false}, {2, 1, false}, {9, 8, false}, {10, 9, false}, {11, 10, false}},
		"a copy that calls in turns": {{1, 0, false}, {2, 1, false}, // an image is made at 1 or 2
			{11, 2, false}, {21, 2, false}, {12, 11, false}, {22, 21, false}, {13, 12, true}, {23, 22, false}, {14, 13, true},
			{24, 23, false}},
		"a copy that calls now and then": {{1, 0, false}, {2, 1, false}, {3, 2, false}, {21, 1, false}, {4, 3, false},
			{5, 4, false}, {22, 21, true}, {6, 5, false}, {23, 22, true}, {7, 6, false}, {8, 6, false}, {9, 8, false}, {24, 22, true}},
		"many copies": {{1, 0, false}, {11, 1, false}, {21, 1, false}, {31, 1, false}, {41, 1, false}, {12, 11, false},
			{22, 21, false}, {32, 31, false}, {42, 41, false}, {13, 12, true}, {23, 22, true}, {33, 32, true},
			{43, 42, false}, {44, 43, false}, {14, 13, true}},
	} {
		t.Run(name, func(t *testing.T) {
			var l Lineage
			for i, call := range calls {
				next, clone := l.Step(ocs.Prolog{Contact: id(call.contact), Last: id(call.last)})
				if clone != call.want || clone && !next.Cloned() {
					t.Fatalf("call %d, %d after %d: got %v, want %v; from %s to %s", i, call.contact, call.last, clone,
						call.want, l, next)
				}
				l = reread(t, next)
			}
		})
	}
}

// reread keeps a lineage as the server does.
func reread(t interface{ Fatalf(string, ...any) }, l Lineage) Lineage {
	again, err := Parse(l.String())
	if err != nil || again != l || len(l.String()) > 160 {
		t.Fatalf("%+v reads back as %+v, %v from %q", l, again, err, l)
	}
	return again
}

// A world is a server and computers with one identity.
type world struct {
	lineage Lineage
	last    []int // of each computer
	contact int   // the newest of all
}

// call makes a computer's contact; heard says whether the answer arrives.
func (w *world) call(computer int, heard bool) (clone bool) {
	w.contact++
	w.lineage, clone = w.lineage.Step(ocs.Prolog{Contact: id(w.contact), Last: id(w.last[computer])})
	if heard {
		w.last[computer] = w.contact
	}
	return clone
}

// TestOneComputer: whatever is lost, and whatever backups of the server or of the computer are restored, one
// computer is never called two. Backups are of quiet moments, after an answered contact.
func TestOneComputer(t *testing.T) {
	for name, restore := range map[string]func(*world, *rapid.T, *[]world){
		"the server": func(w *world, r *rapid.T, backups *[]world) {
			w.lineage = rapid.SampledFrom(*backups).Draw(r, "backup").lineage
		},
		"the computer": func(w *world, r *rapid.T, backups *[]world) { // and what was after it is gone
			i := rapid.IntRange(0, len(*backups)-1).Draw(r, "backup")
			w.last, *backups = []int{(*backups)[i].last[0]}, (*backups)[:i+1]
		},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				w := &world{last: []int{0}}
				backups := []world{{last: []int{0}}}
				calls := func(heard bool) {
					if w.call(0, heard) || w.lineage.Cloned() {
						r.Fatalf("one computer is called two: %s", w.lineage)
					}
					w.lineage = reread(r, w.lineage)
				}
				r.Repeat(map[string]func(*rapid.T){
					"answered":        func(*rapid.T) { calls(true) },
					"answer is lost":  func(*rapid.T) { calls(false) },
					"request is lost": func(*rapid.T) { w.contact++ },
					"backup": func(*rapid.T) {
						calls(true)
						calls(true)
						backups = append(backups, world{lineage: w.lineage, last: []int{w.last[0]}})
					},
					"restore": func(r *rapid.T) {
						restore(w, r, &backups)
						calls(true)
						calls(true)
					},
				})
			})
		})
	}
}

// TestClones: computers with one identity, from one image, in any order that leaves none out, are found out
// soon, and from then on one of them goes on and all others are told, whatever answers are lost.
func TestClones(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		computers := rapid.IntRange(2, 40).Draw(r, "computers")
		w := &world{last: make([]int, 1)}
		for range rapid.IntRange(0, 3).Draw(r, "contacts before the image") {
			w.call(0, true)
		}
		image := w.last[0]
		w.last = make([]int, computers)
		for i := range w.last {
			w.last[i] = image
		}
		order := func() []int { return rapid.Permutation(numbers(computers)).Draw(r, "order") }
		heard := func() bool { return rapid.IntRange(0, 9).Draw(r, "heard") > 0 }
		rounds := 0
		for ; !w.lineage.Cloned(); rounds++ {
			if rounds == 20 {
				r.Fatalf("%d computers go on after %d rounds: %s", computers, rounds, w.lineage)
			}
			for _, computer := range order() {
				w.call(computer, heard())
			}
		}
		for range 3 {
			for _, computer := range order() {
				w.call(computer, heard())
			}
		}
		kept := 0
		for round := range 2 { // those whose answers were lost till now are told apart in the first
			for _, computer := range order() {
				if !w.call(computer, true) && round == 1 {
					kept++
				}
			}
		}
		if kept != 1 {
			r.Fatalf("of %d computers %d go on: %s", computers, kept, w.lineage)
		}
	})
}

func numbers(n int) (list []int) {
	for i := range n {
		list = append(list, i)
	}
	return list
}

func FuzzParse(f *testing.F) {
	var l Lineage
	f.Add(l.String())
	for i := range 8 {
		l, _ = l.Step(ocs.Prolog{Contact: id(i + 1), Last: id(i * i)})
		f.Add(l.String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		if l, err := Parse(text); err == nil && l.String() != text {
			t.Fatalf("%q reads as %q", text, l)
		}
	})
}
