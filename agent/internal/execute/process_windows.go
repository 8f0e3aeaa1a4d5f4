package execute

import (
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/windows"
)

func startTime(pid int) (start string, err error) {
	const access = windows.PROCESS_QUERY_LIMITED_INFORMATION | windows.SYNCHRONIZE
	handle, err := windows.OpenProcess(access, false, uint32(pid))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, windows.CloseHandle(handle)) }()
	if event, err := windows.WaitForSingleObject(handle, 0); err != nil || event == windows.WAIT_OBJECT_0 {
		return "", errors.Join(err, os.ErrProcessDone)
	}
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(handle, &created, &exited, &kernel, &user); err != nil {
		return "", err
	}
	return strconv.FormatInt(created.Nanoseconds(), 10), nil
}

// bootID is empty: Windows tells absolute times.
func bootID() (string, error) { return "", nil }

// sinceBoot returns the time since the computer started, sleep included. Nobody sets it.
func sinceBoot() time.Duration { return windows.DurationSinceBoot() }
