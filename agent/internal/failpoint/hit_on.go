//go:build failpoint

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// hits counts how often the chosen place was come to. It is the one variable of the package, and only
// programs made for tests have it.
var hits atomic.Int64

// Hit kills the program if name is the place that the environment has chosen.
func Hit(name string) {
	chosen, count, counted := strings.Cut(os.Getenv(Variable), ":")
	if chosen != name {
		return
	}
	want := int64(1)
	if counted {
		number, err := strconv.ParseInt(count, 10, 64)
		if err != nil || number < 1 {
			panic(Variable + " is " + os.Getenv(Variable) + "; use NAME or NAME:N")
		}
		want = number
	}
	if hits.Add(1) != want {
		return
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {} // the signal is on its way
}

// Now is the computer's clock as a test has set it: the file that the environment names holds by how much it is ahead,
// such as 17520h or -3h, and may change at any time.
func Now() time.Time {
	name := os.Getenv(ClockVariable)
	if name == "" {
		return time.Now()
	}
	text, err := os.ReadFile(name)
	if err != nil {
		panic(err)
	}
	ahead, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		panic(err)
	}
	return time.Now().Add(ahead).Round(0)
}
