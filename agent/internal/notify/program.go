package notify

import (
	"context"
	"errors"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"
	"time"

	"enjambre/agent/internal/aside"
)

// programFolders are where programs are looked for: never where the user's own path leads.
var programFolders = []string{"/usr/bin", "/bin", "/usr/local/bin"}

// A program is one that shows windows.
type program struct {
	path string
	kind kind
}

// A kind knows how a program is called and what it answers.
type kind interface {
	question(q Question, buttons []button, left time.Duration) []string
	read(s said, buttons []button) (Answer, error)
	tell(title, text string) []string
}

func (p program) question(q Question, buttons []button, left time.Duration) []string {
	return p.kind.question(q, buttons, left)
}

// read returns the answer, "" when the window was closed.
func (p program) read(s said, buttons []button) (Answer, error) {
	if err := s.refusal(); err != nil {
		return "", err
	}
	return p.kind.read(s, buttons)
}

func (p program) tell(title, text string) []string { return p.kind.tell(title, text) }

// maxSeek is how long folders may take to say whether they have a program: one may be a mount that hangs.
const maxSeek = 10 * time.Second

// soughtProgram returns the first program of the system's folders.
func soughtProgram(ctx context.Context) (program, error) {
	ctx, cancel := context.WithTimeout(ctx, maxSeek)
	defer cancel()
	found, err := aside.Do(ctx, "dialog programs", func() (program, error) { return findProgram(programFolders) })
	if errors.Is(err, aside.ErrStuck) {
		err = fmt.Errorf("%w: %w", ErrNoDialog, err)
	}
	return found, err
}

// findProgram returns the first program there is.
func findProgram(folders []string) (program, error) {
	for _, known := range []struct {
		name string
		kind kind
	}{{"zenity", zenity{}}, {"kdialog", kdialog{}}} {
		for _, folder := range folders {
			path := filepath.Join(folder, known.name)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
				return program{path, known.kind}, nil
			}
		}
	}
	return program{}, fmt.Errorf("%w: %w", ErrNoDialog, errNoProgram)
}

// zenity is GNOME's. All buttons are extra ones, since a closed window answers like its own second button;
// of an extra one it writes the label.
type zenity struct{}

func (zenity) question(q Question, buttons []button, left time.Duration) []string {
	args := []string{
		"--question", "--no-markup", "--switch", "--width=440", "--title=" + q.Title,
		"--text=" + q.body(left),
	}
	for _, one := range buttons {
		args = append(args, "--extra-button="+one.label)
	}
	return args
}

func (zenity) read(s said, buttons []button) (Answer, error) {
	for _, one := range buttons {
		if strings.TrimSpace(s.stdout) == one.label {
			return one.answer, nil
		}
	}
	if s.exit == 0 || s.exit == 1 {
		return "", nil
	}
	return "", fmt.Errorf("%w: zenity ended with code %d", ErrNoDialog, s.exit)
}

func (zenity) tell(title, text string) []string {
	return []string{"--info", "--no-markup", "--width=440", "--title=" + title, "--text=" + text}
}

// kdialog is KDE's. It has three buttons: "yes" (0), "no" (1) and "cancel" (2). A closed window answers as
// "cancel", so that one is never the user's Cancel.
type kdialog struct{}

// plain makes a text one that Qt takes for rich text and shows as it was: left alone, Qt guesses.
func (kdialog) plain(text string) string {
	return "<qt>" + strings.ReplaceAll(html.EscapeString(text), "\n", "<br/>") + "</qt>"
}

func (k kdialog) question(q Question, buttons []button, left time.Duration) []string {
	box, closing := "--warningcontinuecancel", "Ask again"
	label := map[Answer]string{}
	for _, one := range buttons {
		label[one.answer] = one.label
	}
	if q.MayDelay {
		closing = label[Delay]
	}
	args := []string{"--title", q.Title, "--cancel-label", closing}
	if q.MayCancel {
		box = "--warningyesnocancel"
		args = append(args, "--yes-label", label[Proceed], "--no-label", label[Cancel])
	} else {
		args = append(args, "--continue-label", label[Proceed])
	}
	return append(args, box, k.plain(q.body(left)))
}

func (kdialog) read(s said, _ []button) (Answer, error) {
	switch s.exit {
	case 0:
		return Proceed, nil
	case 1:
		return Cancel, nil
	case 2:
		return "", nil // with the right to delay, its button means the same
	}
	return "", fmt.Errorf("%w: kdialog ended with code %d", ErrNoDialog, s.exit)
}

func (k kdialog) tell(title, text string) []string {
	return []string{"--title", title, "--msgbox", k.plain(text)}
}
