// Command shim carries out a job, as the agent's hidden command of that name does: shim FOLDER.
package main

import (
	"errors"
	"fmt"
	"os"

	"enjambre/agent/internal/execute"
)

func main() {
	if err := execute.Run(execute.JobFolder(os.Args[2:]), os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, execute.ErrNotBegun) {
			os.Exit(execute.NotBegun)
		}
		os.Exit(1)
	}
}
