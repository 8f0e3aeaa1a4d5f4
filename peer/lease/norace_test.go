//go:build !race

package lease_test

// fewer is by what the number of seeds is divided under the race detector.
const fewer = 1
