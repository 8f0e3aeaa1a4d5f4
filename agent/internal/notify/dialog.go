package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Question is what the user is asked before a package runs. Its texts are plain: nothing in them is taken
// for markup. They hold no control characters; core/info sees to that.
type Question struct {
	Title      string
	Text       string
	Countdown  time.Duration // until it goes on by itself; 0 waits for an answer
	MayCancel  bool
	MayDelay   bool
	DelaysLeft int // how often the user may still delay, this time included; shown when MayDelay
}

// An Answer is what becomes of a package.
type Answer string

// The answers.
const (
	Proceed Answer = "proceed" // run it: the user said so, or the countdown has ended
	Cancel  Answer = "cancel"  // do not run it, now or later
	Delay   Answer = "delay"   // ask again later
)

// maxShownAgain is how often a window that was closed without an answer is shown again.
const maxShownAgain = 3

// maxTold is how long a closing text stays when nobody closes it.
const maxTold = 10 * time.Minute

// Ask asks the user of a session and waits for the answer, which the countdown gives if the user does not.
//
// Closing the window is no answer. It counts as Delay if the user may delay; else the window is shown again,
// with the rest of the countdown, three times, and after that the package proceeds: who may not stop it
// cannot stop it by closing windows either.
//
// The error is an [ErrNoDialog] when nothing can be shown; the caller goes on as after Proceed. It is ctx's
// when ctx ends; the window is gone then.
func Ask(ctx context.Context, session Session, question Question) (Answer, error) {
	with, err := soughtProgram(ctx)
	if err != nil {
		return "", err
	}
	return ask(ctx, with, session, question)
}

func ask(ctx context.Context, with program, session Session, question Question) (Answer, error) {
	var end time.Time
	if question.Countdown > 0 {
		end = time.Now().Add(question.Countdown)
	}
	for shown := 0; shown <= maxShownAgain; shown++ {
		left := time.Duration(0)
		if !end.IsZero() {
			if left = time.Until(end); left <= 0 {
				return Proceed, nil
			}
		}
		answer, err := askOnce(ctx, with, session, question, left)
		if err != nil || answer != "" {
			return answer, err
		}
		if question.MayDelay {
			return Delay, nil
		}
	}
	return Proceed, nil
}

// askOnce shows the question once. Closing the window is no answer: "".
func askOnce(ctx context.Context, with program, session Session, question Question,
	left time.Duration) (Answer, error) {
	window := ctx
	if left > 0 {
		var cancel context.CancelFunc
		window, cancel = context.WithTimeout(ctx, left)
		defer cancel()
	}
	buttons := question.buttons()
	said, err := run(window, session, with.path, with.question(question, buttons, left))
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case window.Err() != nil:
		return Proceed, nil
	case err != nil:
		return "", err
	}
	return with.read(said, buttons)
}

// Tell shows a closing text and returns when the user has closed it, after 10 minutes, or when ctx ends. The
// error is an [ErrNoDialog] when nothing can be shown.
func Tell(ctx context.Context, session Session, title, text string) error {
	with, err := soughtProgram(ctx)
	if err != nil {
		return err
	}
	window, cancel := context.WithTimeout(ctx, maxTold)
	defer cancel()
	said, err := run(window, session, with.path, with.tell(title, text))
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case window.Err() != nil:
		return nil
	case err != nil:
		return err
	}
	return said.refusal()
}

// A button is what the user can press.
type button struct {
	answer Answer
	label  string
}

// buttons returns what the question can be answered with.
func (q Question) buttons() []button {
	list := []button{{Proceed, "Install now"}}
	if q.MayDelay {
		label := "Later"
		if q.DelaysLeft > 0 {
			label = fmt.Sprintf("Later (%d left)", q.DelaysLeft)
		}
		list = append(list, button{Delay, label})
	}
	if q.MayCancel {
		list = append(list, button{Cancel, "Cancel installation"})
	}
	return list
}

// body returns the text of the window.
func (q Question) body(left time.Duration) string {
	if left <= 0 {
		return q.Text
	}
	return q.Text + "\n\nThe installation goes on by itself in " + people(left) + "."
}

// people writes a time as people say it, not exactly.
func people(d time.Duration) string {
	count, unit := int(d.Round(time.Second)/time.Second), "second"
	switch {
	case d >= 2*time.Hour:
		count, unit = int(d.Round(time.Hour)/time.Hour), "hour"
	case d >= 2*time.Minute:
		count, unit = int(d.Round(time.Minute)/time.Minute), "minute"
	}
	if count != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", count, unit)
}

// A said is what a program has said by ending.
type said struct {
	exit           int
	stdout, stderr string // the first 4 KiB
}

// refusal returns why nothing was shown, if so.
func (s said) refusal() error {
	text := strings.TrimSpace(s.stderr)
	lower := strings.ToLower(text)
	for _, sign := range []string{"open display", "connect to display", "fatal io error", "lost connection"} {
		if strings.Contains(lower, sign) {
			return fmt.Errorf("%w: %s", ErrNoDialog, lastLine(text))
		}
	}
	if s.exit < 0 || s.exit > 5 { // a signal, or a mistake in the call
		return fmt.Errorf("%w: the program ended with code %d: %s", ErrNoDialog, s.exit, lastLine(text))
	}
	return nil
}

func lastLine(text string) string { return text[strings.LastIndexByte(text, '\n')+1:] }

// errNoProgram is the commonest [ErrNoDialog].
var errNoProgram = errors.New("install zenity or kdialog on this computer")
