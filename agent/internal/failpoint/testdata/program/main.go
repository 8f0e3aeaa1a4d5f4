// Command program hits a, b and a again.
package main

import (
	"fmt"

	"enjambre/agent/internal/failpoint"
)

func main() {
	for _, name := range []string{"a", "b", "a"} {
		failpoint.Hit(name)
		fmt.Print(name, " ")
	}
	fmt.Print("end")
}
