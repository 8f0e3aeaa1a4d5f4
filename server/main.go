// Command enjambre-server builds, signs and publishes packages, and serves them to agents.
package main

import (
	"os"

	"enjambre/server/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
