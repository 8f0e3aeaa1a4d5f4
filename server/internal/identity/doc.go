// Package identity keeps the keys and certificates of a deployment, in the server's data folder:
//
//	deployment.json       the deployment's name and the hosts its agents reach it by
//	keys/signing.pem      Ed25519, PKCS#8: signs info files
//	keys/agent-ca.pem     Ed25519, PKCS#8: certifies agents
//	keys/agent-ca.crt     its certificate
//	keys/online.pem       Ed25519, PKCS#8: signs site tickets and epochs, and nothing that is ever run; the newest
//	                      key first, each with a header Made: and its time, and former ones while they are of use
//	keys/online.lock      locked while that file is changed
//	tls/server.pem        the HTTPS key (PKCS#8, encrypted if it came so), its certificate, intermediates
//	tls/next.key          the key of a certificate request, until the certificate is installed
//	tls/server.csr        that request
//	tls/next-ca.pem       what our agents are told to trust besides cacert.pem, ahead of time
//	tls/next-ca.key       its key, when it is a self-signed certificate of ours
//	cacert.pem            what agents verify the server with
//
// Every file is written beside its place, synced and renamed, so that a crash leaves the old file or
// the new one and at worst a hidden temporary file that nothing reads. Key and certificates share one
// file because two cannot be renamed at once. Where cacert.pem changes with them it first holds the
// old and the new authorities, then tls/server.pem is replaced, then the old ones go: a server that
// starts at any moment in between finds a certificate that verifies. The first certificate comes after its
// cacert.pem.
//
// deployment.json is written last and holds
//
//	{"version":1,"name":"lyon","hosts":["deploy.example","192.0.2.7"],"created":"2026-01-31T08:00:00Z"}
//
// An online key is handed out a day before it signs, see [OnlineLead], and until the last ticket that it signed has
// expired. A folder made before there were online keys gets one when its server starts.
//
// Everything that a server must not start with is refused before anything is replaced, and again at start,
// with the reason and what to do. Time comes in as a parameter; only a [Reloader], a [TrustReader] and an
// [OnlineReader] read the clock. A [Deployment] may be used by several goroutines, but two that change its
// certificate, here or in another process, must not do so at once; its online key they may.
package identity
