// Package strictxml reads and writes the small part of XML that OCS messages and info files use:
// elements, attributes, text, comments, CDATA and the five entities.
//
// It exists because the general decoder of the standard library is too tolerant for documents that
// start commands as root: it takes the last of two equal attributes, drops namespace prefixes,
// ignores whatever follows the root element and lets 3 MB of tags become 190 MB of memory. Here
// every document is read in one pass under [Limits] that hold before memory is spent; what is not
// plain is refused with [core.ClassXML]: DOCTYPE, processing instructions, prefixes and namespaces,
// a second root, anything around the root, duplicate attributes, invalid or forbidden characters.
//
// Documents are UTF-8. ISO-8859-1 and Windows-1252 are converted when declared, because old Windows
// agents send them. Line ends are read as one line feed each. The fuzz target holds the reader to
// encoding/xml: what is accepted here means the same there.
package strictxml
