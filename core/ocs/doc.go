// Package ocs reads and writes the messages that OCS Inventory NG agents and servers exchange, and
// Enjambre's extensions of them.
//
// Every message is one XML document in a zlib stream, POSTed to /ocsinventory; [Decode] and [Encode]
// are that frame. [ParseRequest] reads what agents send, [ParsePrologReply] and [ParseInventoryReply]
// what servers answer; each type's Append method writes it. Nothing here does input or output.
//
// # Tolerance
//
// Agents differ: the Unix agent writes a result as attributes of REQUEST, the Windows agent mixes
// attributes and child elements, orders differ, unknown fields come and go. So a field may be an
// attribute or a child element, in any order, and what is unknown is ignored. What is not tolerated:
// the same field twice (the two readers of a message must never see two things), whatever
// core/internal/strictxml refuses, and anything over the bounds below.
//
// An INVENTORY of a stock agent is read by a [StockReader], which takes it however damaged it is: where it is refused,
// the agent ends before it fetches anything, and the computer gets no package.
//
// # Extensions
//
// Stock programs ignore what they do not know, so ours travel in the same messages:
//
//	CONF FRAGS_PER_TURN           fragments of a package in one turn; 0 or absent: all
//	DOWNLOAD EXIT, DETAIL, OUTPUT exit code; class and text of a failure (1 KiB); end of output (4 KiB)
//	DOWNLOAD SHARED               bytes of the package that members of the site sent, see [MaxShared]
//	PROLOG CONTACT, LAST          this contact and the last answered one, see [Prolog]
//	PROLOG TRUSTS                 what the agent verifies the server with, see [TrustDigest]
//	PROLOG LISTEN, CLASS          where members reach the agent, and its weight, see [Prolog]
//	REPLY CLONED, REASON          the identity is another computer's, see [PrologReply]
//	QUERY ENROLL                  a token and a certificate request, see [Enrolment]
//	QUERY PROGRESS                how far packages are and what keeps them, see [Progress] and [ProgressReply]
//	PROGRESS MEMBER               what another member of the site says, signed, see [MaxSaid]
//	OPTION SWARM                  site, policy, ticket, members, keys, info digests, see [Swarm]
//
// A SWARM option is for agents that have shown the certificate they enrolled with. A package that such an
// agent holds and that is absent from a DOWNLOAD option with ON="1" was taken back from the computer, unless
// the option lists [MaxPacks] packages, when others may wait for their turn.
//
// # Bounds
//
// A request other than INVENTORY: 64 KiB inflated. INVENTORY: 16 MiB inflated; by [ParseRequest] also 150,000 elements
// and attributes together, 64 KiB a value. Inflating stops when output exceeds its bound.
package ocs
