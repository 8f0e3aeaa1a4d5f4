// Command enjambre-agent is the service on every computer: it calls the server, fetches packages and runs
// them.
package main

import (
	"os"

	"enjambre/agent/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
