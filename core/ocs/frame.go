package ocs

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"io"

	"enjambre/core"
)

// Bounds of bodies, in bytes.
const (
	MaxMessage   = 64 << 10 // inflated, all messages but INVENTORY
	MaxInventory = 16 << 20 // inflated
	MaxBody      = 4 << 20  // as it travels; an inventory of 1,000 programs has 46 KB
)

// A Decoder takes documents out of their frames. It keeps the 40 KB that inflating needs from one body to the
// next, and room for a document of [keptRoom] bytes; the zero Decoder is ready. Not for concurrent use.
type Decoder struct {
	inflater io.ReadCloser // the zlib reader of the last body; nil before the first
	document bytes.Buffer  // what the last body inflated to
}

// keptRoom is the longest document whose room a Decoder keeps: an inventory of a thousand programs has 400 KB.
const keptRoom = 512 << 10

// usualRatio is how many times larger than its body an inventory is; a longer one only makes the room grow.
const usualRatio = 8

// Decode is the Decode of a new Decoder.
func Decode(body []byte, limit int) ([]byte, error) { return new(Decoder).Decode(body, limit) }

// Decode returns the document inside a body: a zlib stream as stock agents send it, or gzip, or plain
// XML, which is returned as it is. The document may be overwritten by the next Decode. It refuses more than limit
// bytes of document (E_LIMIT) and a damaged stream (E_XML), with what it has inflated until then. How many times
// larger than its body a document is does not matter: an honest event log shrinks to a fiftieth.
func (d *Decoder) Decode(body []byte, limit int) ([]byte, error) {
	inflater, err := d.open(body)
	if err != nil {
		return nil, err
	}
	if inflater == nil {
		if len(body) > limit {
			return body[:limit], core.Refuse(core.ClassLimit, "the message is longer than %d bytes", limit)
		}
		return body, nil
	}
	if d.document.Cap() > keptRoom {
		d.document = bytes.Buffer{}
	}
	d.document.Reset()
	d.document.Grow(min(limit, usualRatio*len(body)) + bytes.MinRead)
	switch _, err = d.document.ReadFrom(io.LimitReader(inflater, int64(limit)+1)); {
	case err != nil:
		return d.document.Bytes(), core.Refuse(core.ClassXML, "the body's compressed stream is damaged: %v", err)
	case d.document.Len() > limit:
		return d.document.Bytes(), core.Refuse(core.ClassLimit, "the message is longer than %d bytes", limit)
	}
	return d.document.Bytes(), nil
}

// open tells the frame by the first bytes, as no zlib or gzip header begins like an XML document. It
// returns nil for a plain one.
func (d *Decoder) open(body []byte) (io.Reader, error) {
	var inflater io.Reader
	var err error
	switch {
	case len(body) >= 2 && body[0] == 0x1f && body[1] == 0x8b:
		inflater, err = gzip.NewReader(bytes.NewReader(body))
	case len(body) >= 2 && body[0]&0x0f == 8 && (int(body[0])<<8|int(body[1]))%31 == 0:
		inflater, err = d.zlib(bytes.NewReader(body))
	case len(bytes.TrimLeft(body, " \t\r\n\xEF\xBB\xBF")) == 0:
		err = errors.New("it is empty")
	default:
		return nil, nil
	}
	if err != nil {
		return nil, core.Refuse(core.ClassXML, "the body is neither a zlib stream nor XML: %v", err)
	}
	return inflater, nil
}

// zlib returns the inflater, set to a new stream.
func (d *Decoder) zlib(stream io.Reader) (io.Reader, error) {
	if reused, can := d.inflater.(zlib.Resetter); can {
		return d.inflater, reused.Reset(stream, nil)
	}
	made, err := zlib.NewReader(stream)
	if err == nil {
		d.inflater = made
	}
	return made, err
}

// storedBelow is the size under which a document is not worth compressing: a PROLOG reply without packages
// has 450 bytes, to a member of a swarm 1.5 KB, of which the most are names and keys; and a compressor needs
// 800 KB of memory to save half of them.
const storedBelow = 2 << 10

// Encode puts a document into a zlib stream, the only frame that stock agents understand. Small documents
// are stored in it as they are.
func Encode(document []byte) []byte {
	if len(document) < storedBelow {
		return store(document)
	}
	var body bytes.Buffer
	deflater := zlib.NewWriter(&body)
	_, writeErr := deflater.Write(document)
	if err := errors.Join(writeErr, deflater.Close()); err != nil {
		panic(fmt.Sprintf("ocs: deflate into memory: %v", err)) // a bytes.Buffer does not fail
	}
	return body.Bytes()
}

// store writes a zlib stream of one stored block: header, final block of type 0 with its length and the
// length's complement, the bytes, and their checksum (RFC 1950, 2.2; RFC 1951, 3.2.4). The header is the
// one that every other stream has.
func store(document []byte) []byte {
	length := uint16(len(document))
	body := make([]byte, 0, len(document)+11)
	body = append(body, 0x78, 0x9c, 1)
	body = binary.LittleEndian.AppendUint16(body, length)
	body = binary.LittleEndian.AppendUint16(body, ^length)
	body = append(body, document...)
	return binary.BigEndian.AppendUint32(body, adler32.Checksum(document))
}
