// Package core holds Enjambre's words and the rules that belong to the words themselves.
//
// It does nothing: no network, no disk, no clock, no goroutine, no log. Whoever holds one of its
// values holds something checked, because the only way to make one from foreign text is a Parse
// function that refuses what the rules forbid. Its sub-packages add the rules that need more room:
// the OCS messages (ocs), the info file (info), its seal (seal), cutting plans (fragment), what an
// archive may hold (archive), the schedule (cycle) and the life of an affectation (outcome).
//
// # Glossary
//
// One word per thing, in code, documents, console and logs.
//
//	package       what is deployed: priority, action, optional archive, optional command or path
//	package ID    decimal digits, the Unix time of building; unique
//	action        LAUNCH, EXECUTE or STORE
//	info          the signed XML document that describes a package
//	archive       the ZIP or TAR.GZ of a package; cut into fragments
//	fragment      one slice of the archive; FragmentIndex counts from 0, file names from 1
//	digest        SHA-256 unless the name says MD5 (which exists for stock OCS agents only)
//	activation    a package made available at an HTTPS URL (info) and an HTTP(S) URL (fragments)
//	affect        assign a package to computers; unaffect takes it back
//	computer      a managed machine, known by its device ID
//	site          a set of computers that reach each other cheaply and share one WAN link
//	origin        the server a fragment comes from when no peer has it
//	member        an agent in its site's swarm
//	holder        a member that has a given fragment, verified
//	owner         the member responsible for fetching a fragment from the origin
//	lease         the origin's promise that only its holder in a site fetches a fragment now
//	period        a run of cycles of the OCS schedule
//	turn          opens for a package in a cycle its priority divides
//	epoch, pulse  a site's signed news number, and how it travels
//	R             copies per site: origin payload bytes sent into a site ÷ package bytes
package core
