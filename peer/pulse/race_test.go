//go:build race

package pulse

// fewer is by what the number of seeds and computers is divided: the race detector makes a fleet ten times as slow.
const fewer = 10
