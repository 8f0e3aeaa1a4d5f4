package execute

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"enjambre/core"
)

// maxArguments bounds a command line after expansion, in bytes: what Linux takes as one argument.
const maxArguments = 128 << 10

// command returns what LAUNCH or EXECUTE is to run. Errors have a class.
func (j *job) command() (*exec.Cmd, error) {
	if j.order.Action == core.Execute {
		if len(j.order.Target) > maxArguments {
			return nil, tooLong(len(j.order.Target))
		}
		// The line is inside the package's signature; the shell expands its variables from j.env.
		return shellCommand(j.order.Target), nil
	}
	args, err := j.arguments()
	if err != nil {
		return nil, err
	}
	program, err := j.program(args[0])
	if err != nil {
		return nil, err
	}
	if j.order.OS == core.Windows {
		if err := checkBatch(program, args[1:]); err != nil {
			return nil, err
		}
	}
	return exec.Command(program, args[1:]...), nil
}

// arguments splits the command line, then expands the variables inside each word: a value cannot become two
// arguments, whatever it holds (C03).
func (j *job) arguments() ([]string, error) {
	words, err := splitWords(j.order.Target, j.order.OS)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 {
		return nil, core.Refuse(core.ClassExec, "the command is empty")
	}
	args := make([]string, len(words))
	size := 0
	for i, word := range words {
		if args[i], err = word.expand(j.env, j.order.OS); err != nil {
			return nil, err
		}
		size += len(args[i]) + 1
	}
	if size > maxArguments {
		return nil, tooLong(size)
	}
	return args, nil
}

func tooLong(size int) error {
	return core.Refuse(core.ClassExec, "the command has %d bytes; at most %d are allowed", size, maxArguments)
}

// program returns the path of a file of the archive that LAUNCH is to run. Links are followed as far as they
// stay inside the archive.
func (j *job) program(name string) (string, error) {
	if j.order.OS == core.Windows {
		name = strings.ReplaceAll(name, `\`, "/")
	}
	local := filepath.FromSlash(name)
	if !filepath.IsLocal(local) {
		return "", core.Refuse(core.ClassExec, "LAUNCH runs a program inside the archive; %q is none: use EXECUTE",
			name)
	}
	root, err := os.OpenRoot(j.work)
	if err != nil {
		return "", err
	}
	info, err := root.Stat(local)
	err = errors.Join(err, root.Close())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", core.Refuse(core.ClassExec, "the archive has no file %q", name)
	case err != nil: // for one, a link that leads out
		return "", core.Refuse(core.ClassExec, "the program %q cannot be used: %v", name, err)
	case !info.Mode().IsRegular():
		return "", core.Refuse(core.ClassExec, "%q is not a file", name)
	}
	return filepath.Join(j.work, local), nil
}

// checkBatch refuses arguments that the interpreter of Windows' batch files would read as something else
// (C10).
func checkBatch(program string, args []string) error {
	extension := strings.ToLower(filepath.Ext(program))
	if extension != ".bat" && extension != ".cmd" {
		return nil
	}
	for _, arg := range args {
		if at := strings.IndexAny(arg, "\"%!&|<>^\r\n"); at >= 0 {
			return core.Refuse(core.ClassExec,
				"the argument %.80q has a %q, which a batch file would not take as it is", arg, arg[at])
		}
	}
	return nil
}

// isScript reports whether a file that the system cannot run is a script: as a shell does, it takes a file
// for one if its first line is text.
func isScript(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	head := make([]byte, 256)
	n, err := io.ReadFull(file, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	line, _, _ := bytes.Cut(head[:n], []byte("\n"))
	return errors.Join(err, file.Close()) == nil && bytes.IndexByte(line, 0) < 0
}
