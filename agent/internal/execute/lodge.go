package execute

import (
	"crypto/rand"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// A lodge is where a command may write: its TMPDIR, and its working folder when there is no archive. A command that gives
// up root must reach it too, as it would reach /tmp from a login, so it lies outside the state folder: in a new folder that
// root alone can change and nobody else can list, under a name that nobody can guess. Whom the command tells the name
// finds there what is in /tmp: a sticky folder that everybody may write to.
func makeLodge() (folder string, err error) {
	for _, base := range lodgeBases() {
		if folder, err = os.MkdirTemp(base, "enjambre-"); err == nil {
			break
		}
	}
	if err != nil {
		return "", err
	}
	inner := lodgeInside(folder)
	tmp, work := filepath.Join(inner, temporary), filepath.Join(inner, workFolder)
	err = errors.Join(os.Mkdir(inner, 0o711), os.Mkdir(tmp, 0o700), os.Mkdir(work, 0o755),
		os.Chmod(tmp, 0o777|os.ModeSticky), os.Chmod(folder, 0o711))
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(folder))
	}
	return inner, nil
}

// lodgeInside returns a place in a lodge's folder with a name of 130 random bits.
func lodgeInside(folder string) string { return filepath.Join(folder, rand.Text()) }

// lingerPause is between two looks at the output of what a command has left running; it is looked whether any of that
// still runs after pauses that double up to maxLinger, since that reads all of /proc.
const (
	lingerPause = time.Second
	maxLinger   = time.Minute
)

// linger stays for what the command has left running, after the result has been told: it keeps their output short and
// their folders in place, and removes those when the last of them has ended. When the shim is killed meanwhile, they go on,
// and the system's own cleaning of temporary folders does the rest.
func (j *job) linger() {
	signal.Reset(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP) // nothing is left to tell: a shutdown need not wait
	for pause := lingerPause; j.said != nil && hasLeft(); pause = min(2*pause, maxLinger) {
		for waited := time.Duration(0); waited < pause; waited += lingerPause {
			j.said.cut()
			time.Sleep(lingerPause)
		}
	}
	if j.said != nil {
		j.said.close()
	}
	if j.lodge != "" {
		_ = removeFrom(filepath.Dir(j.lodge), "") // something is mounted there: it is not ours to unmount
	}
}
