package execute

import (
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// adopt makes this process the parent of every descendant whose own parent ends, so that none gets out of
// sight. It lasts until the process ends; then those left go to the init process.
func adopt() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// ownSession gives a command a session and a process group of its own.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// How endTree goes on.
const (
	killGrace = 10 * time.Second // between being asked to end and being killed
	killTime  = 10 * time.Second // for killed processes to be gone; those that wait for a device may not be
	killPause = 50 * time.Millisecond
)

// endTree ends the command's process and every descendant of this process, in whatever session they are:
// asks them, waits for killGrace, and kills until none is left. It returns how many are left after all.
func endTree(command *os.Process) int {
	asked := map[int]bool{}
	begun := time.Now()
	for {
		alive := descendants(command.Pid)
		waited := time.Since(begun)
		if len(alive) == 0 || waited > killGrace+killTime {
			return len(alive)
		}
		for _, pid := range alive {
			switch {
			case waited > killGrace:
				_ = unix.Kill(pid, unix.SIGKILL) // one that is gone meanwhile is what we want
			case !asked[pid]:
				asked[pid] = true
				_ = unix.Kill(pid, unix.SIGTERM)
				_ = unix.Kill(pid, unix.SIGCONT) // a stopped one cannot listen
			}
		}
		time.Sleep(killPause)
	}
}

// hasLeft reports whether anything that the command has started still runs.
func hasLeft() bool { return len(descendants(0)) > 0 }

// nameShim gives this process a name of its own: who ends the agent by its name does not mean its commands.
func nameShim() { _ = os.WriteFile("/proc/self/comm", []byte(shimName), 0) }

// spared is how much less than others the shim is to be ended when memory runs out: with it goes what became of the command.
const spared = "-900"

// spareShim asks the kernel not to choose this process when memory runs out. Children that there are keep what they have.
func spareShim() { _ = os.WriteFile("/proc/self/oom_score_adj", []byte(spared), 0) }

// descendants returns the living descendants of this process. Dead ones that it has adopted are reaped on
// the way; its own child, the command, is left to who waits for it.
func descendants(command int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	children := map[int][]int{}
	dead := map[int]bool{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if stat, err := readStat(pid); err == nil {
			children[stat.parent] = append(children[stat.parent], pid)
			dead[pid] = stat.isDead()
		}
	}
	self := os.Getpid()
	var alive []int
	for queue := children[self]; len(queue) > 0; queue = queue[1:] {
		pid := queue[0]
		queue = append(queue, children[pid]...)
		if !dead[pid] {
			alive = append(alive, pid)
		}
	}
	for _, pid := range children[self] {
		if dead[pid] && pid != command {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
	}
	return alive
}

// giveBack gives back the room of a file's first bytes; its length stays.
func giveBack(file *os.File, bytes int64) error {
	return unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, bytes)
}
