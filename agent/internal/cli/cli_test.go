package cli

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		Name: func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScript runs the program as people do. What needs a running server is tested in e2e. The condition
// "mounts" says that a script may mount over the system's folder of units, unseen by others.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true,
		Condition: func(name string) (bool, error) {
			if name != "mounts" {
				return false, fmt.Errorf("no condition %q", name)
			}
			return exec.Command("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/etc/systemd/system").Run() == nil, nil
		},
	})
}
