package execute

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"enjambre/core"
	"enjambre/core/command"
)

// command returns what LAUNCH or EXECUTE is to run. Errors have a class.
func (j *job) command() (*exec.Cmd, error) {
	if j.order.Action == core.Execute {
		if err := command.CheckSize(len(j.order.Target)); err != nil {
			return nil, err
		}
		// The line is inside the package's signature; the shell expands its variables from j.env.
		return shellCommand(j.order.Target), nil
	}
	line, err := command.Parse(j.order.Target, j.order.OS)
	if err != nil {
		return nil, err
	}
	args, err := line.Arguments(j.env.value)
	if err != nil {
		return nil, err
	}
	program, err := j.program(args[0])
	if err != nil {
		return nil, err
	}
	return exec.Command(program, args[1:]...), nil
}

// program returns the path of a file of the archive that LAUNCH is to run. Links are followed as far as they
// stay inside the archive.
func (j *job) program(name string) (string, error) {
	name, err := command.Inside(name, j.order.OS)
	if err != nil {
		return "", err
	}
	local := filepath.FromSlash(name)
	if !filepath.IsLocal(local) { // such as a device of Windows
		return "", core.Refuse(core.ClassExec, "LAUNCH runs a program inside the archive; %q is none: use EXECUTE", name)
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
