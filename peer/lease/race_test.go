//go:build race

package lease_test

// fewer is by what the number of seeds is divided: the race detector makes a swarm ten times as slow.
const fewer = 10
