// Command shim carries out a job, as the agent's hidden command of that name does: shim FOLDER.
package main

import (
	"fmt"
	"os"

	"enjambre/agent/internal/execute"
)

func main() {
	if err := execute.Run(os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
