package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// A screen is where the demo is seen: lines that stay, and below them, on a terminal, a board that is drawn over itself.
// Elsewhere the board is printed anew when it has changed, at most every [printEvery], and no control character is.
// Whoever closes the screen ends the demo by a signal; so nothing is made of it that nothing can be shown.
type screen struct {
	out   io.Writer
	width func() int       // cells of the terminal's lines; 0: it is no terminal
	now   func() time.Time // when the board is printed

	drawn     []line // the board as it is seen on the terminal
	printed   string // the board as it was printed last
	printedAt time.Time
}

// printEvery is how often at most the board is printed where it cannot be drawn over.
const printEvery = 3 * time.Second

// newScreen returns the screen that a file leads to.
func newScreen(file *os.File) *screen {
	return &screen{out: file, now: time.Now, width: func() int {
		if os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(file.Fd())) {
			return 0
		}
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil {
			return 0
		}
		return width
	}}
}

// say adds a line that stays, above the board.
func (s *screen) say(format string, args ...any) {
	board := s.drawn
	text := s.wiped() + fmt.Sprintf(format, args...) + "\n"
	if len(board) > 0 {
		text += s.painted(board, s.width())
	}
	s.write(text)
}

// draw shows the board.
func (s *screen) draw(v view) {
	width := s.width()
	if width == 0 {
		s.print(v, false)
		return
	}
	s.write(s.wiped() + s.painted(board(v, width), width))
}

// settle shows the board for the last time: what follows is below it.
func (s *screen) settle(v view) {
	if s.width() == 0 {
		s.print(v, true)
		return
	}
	s.draw(v)
	s.drawn = nil
}

// print prints the board, if it has changed and is due or the last.
func (s *screen) print(v view, last bool) {
	var text strings.Builder
	for _, one := range board(v, 0) {
		text.WriteString(one.text + "\n")
	}
	isDue := last || s.printed == "" || !s.now().Before(s.printedAt.Add(printEvery))
	if text.String() == s.printed || !isDue {
		return
	}
	s.printed, s.printedAt = text.String(), s.now()
	s.write("\n" + s.printed)
}

func (s *screen) write(text string) { _, _ = io.WriteString(s.out, text) }

// wiped returns what removes the drawn board.
func (s *screen) wiped() string {
	if len(s.drawn) == 0 {
		return ""
	}
	up := fmt.Sprintf("\x1b[%dA\r\x1b[J", len(s.drawn)+1)
	s.drawn = nil
	return up
}

// painted returns what draws a board where the cursor is, below an empty line. Lines do not wrap, so that wiped finds
// its beginning.
func (s *screen) painted(lines []line, width int) string {
	text := "\n"
	for _, one := range lines {
		cut := fit(one.text, width-1)
		if one.style != plain {
			cut = string(one.style) + cut + string(reset)
		}
		text += cut + "\n"
	}
	s.drawn = lines
	return text
}
