package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files anew")

// stages are views as they follow each other.
func stages() []view {
	forming, spreading, done := good(), good(), good()
	forming.packages = nil
	for i := range forming.sites {
		s := &forming.sites[i]
		s.neighbours, s.whole, s.origin, s.held = s.agents-1, 0, 0, 0
	}
	for i := range spreading.sites {
		s := &spreading.sites[i]
		s.origin, s.held = int64(1_234_567*(i+2)), int64(3_141_592*(i+1))
	}
	files := &spreading.packages[1]
	files.waiting, files.notified, files.downloading, files.succeeded = 1, 6, 5, 1
	return []view{forming, spreading, done}
}

// TestBoard compares the board, as wide and as narrow as it is drawn, with a golden file.
func TestBoard(t *testing.T) {
	var got strings.Builder
	for _, width := range []int{0, 80, 120, 200} {
		for _, v := range stages() {
			fmt.Fprintf(&got, "width %d\n", width)
			for _, one := range board(v, width) {
				fmt.Fprintf(&got, "%-8q %s\n", one.style, one.text)
			}
			if cells := widest(board(v, width)[:1+len(v.sites)]); width > 0 && cells >= width {
				t.Errorf("width %d: %d cells", width, cells)
			}
		}
	}
	golden := filepath.Join("testdata", "board.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func TestBar(t *testing.T) {
	for _, c := range []struct {
		part float64
		want string
	}{
		{-1, "────"}, {0, "────"}, {0.124, "────"}, {0.125, "╸───"}, {0.25, "━───"}, {0.99, "━━━╸"}, {1, "━━━━"},
		{3, "━━━━"},
	} {
		if got := barOf(c.part, 4); got != c.want {
			t.Errorf("%v: got %s, want %s", c.part, got, c.want)
		}
	}
}

// TestPrinted: where there is no terminal the board is printed when it has changed and is due, and nothing controls.
func TestPrinted(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(1764000000, 0)
	s := screen{out: &out, width: func() int { return 0 }, now: func() time.Time { return now }}
	all := stages()
	s.say("begun")
	for _, step := range []struct {
		after time.Duration
		draw  func(view)
		show  view
		want  int // boards so far
	}{
		{0, s.draw, all[0], 1},
		{printEvery, s.draw, all[0], 1},
		{time.Millisecond, s.draw, all[1], 2},
		{printEvery - 1, s.draw, all[2], 2},
		{0, s.settle, all[2], 3},
		{printEvery, s.settle, all[2], 3},
	} {
		now = now.Add(step.after)
		step.draw(step.show)
		if got := strings.Count(out.String(), "SITE"); got != step.want {
			t.Fatalf("got %d boards, want %d:\n%s", got, step.want, out.String())
		}
	}
	s.say("over")
	if text := out.String(); !strings.HasPrefix(text, "begun\n\nSITE") || !strings.HasSuffix(text, "succeeded\nover\n") {
		t.Errorf("got\n%s", text)
	}
	for _, r := range out.String() {
		if unicode.IsControl(r) && r != '\n' {
			t.Errorf("control character %q", r)
		}
	}
}

// TestDrawn: on a terminal the board is drawn over itself, below the lines that stay, and no line wraps.
func TestDrawn(t *testing.T) {
	terminal := &terminal{width: 60}
	s := screen{out: terminal, width: func() int { return terminal.width }, now: time.Now}
	all := stages()
	s.say("first")
	s.draw(all[0])
	s.draw(all[1])
	s.say("second")
	s.draw(all[2])
	s.settle(all[2])
	s.say("third")
	want := []string{"first", "second", ""}
	for _, one := range board(all[2], 60) {
		want = append(want, fit(one.text, 59))
	}
	want = append(want, "third", "")
	if got := strings.Join(terminal.lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// A terminal understands what a screen writes, and knows no styles. The cursor is at the beginning of the last line.
type terminal struct {
	width int
	lines []string
}

func (t *terminal) Write(data []byte) (int, error) {
	text := string(data)
	for _, style := range []style{faint, green, reset} {
		text = strings.ReplaceAll(text, string(style), "")
	}
	if len(t.lines) == 0 {
		t.lines = []string{""}
	}
	for text != "" {
		var up int
		if n, _ := fmt.Sscanf(text, "\x1b[%dA\r\x1b[J", &up); n == 1 {
			t.lines = append(t.lines[:len(t.lines)-1-up], "")
			_, text, _ = strings.Cut(text, "\r\x1b[J")
			continue
		}
		line, rest, _ := strings.Cut(text, "\n")
		if utf8.RuneCountInString(line) >= t.width || strings.ContainsRune(line, '\x1b') {
			return 0, fmt.Errorf("line %q", line)
		}
		t.lines[len(t.lines)-1] += line
		t.lines = append(t.lines, "")
		text = rest
	}
	return len(data), nil
}
