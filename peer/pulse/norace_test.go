//go:build !race

package pulse

// fewer is by what the number of seeds and computers is divided under the race detector.
const fewer = 1
