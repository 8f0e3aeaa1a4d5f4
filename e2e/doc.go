// Package e2e tests the real programs as processes: the server, its commands, and the stock OCS agent of
// Debian as a client, over HTTPS and plain HTTP. The rows are those of the protocol that a server can
// provoke. Its sub-packages set the programs up (stage) and show them to people (demo).
package e2e
