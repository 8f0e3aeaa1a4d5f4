// Package loosexml reads what stock agents send as INVENTORY, however damaged it is, within bounds.
//
// An inventory is data: nothing in it starts a command. A refused one, however, shuts a computer out of deployment,
// since the stock agent exits before it fetches anything. So this reader takes what a stock server takes, and more:
// bytes that are not of the declared encoding, control characters, unknown entities, prefixes, processing
// instructions, whatever surrounds the root. What has no meaning becomes U+FFFD. For every other message, and for
// everything that our own agents send, there is package strictxml.
//
// A [Plan] names the elements that are kept; the reader passes over all others without a look at what is inside, so
// they can neither spoil the document nor fill the memory. A document that strictxml accepts means the same here, as
// far as the plan goes; a fuzz target holds the reader to that. What it returns is valid UTF-8 that XML can hold.
//
// Only this is refused: a document without root, a DOCTYPE, and a document that ends too early, whose lists would
// replace complete ones.
package loosexml
