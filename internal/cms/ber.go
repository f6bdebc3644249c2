package cms

import (
	"errors"
	"fmt"
)

// Identifier octets (X.690 section 8.1.2) of what occurs in SignedData.
const (
	tagInteger     = 0x02
	tagOctetString = 0x04
	tagOID         = 0x06
	tagUTCTime     = 0x17
	tagGeneralTime = 0x18
	tagSequence    = 0x30
	tagSet         = 0x31
	tagContext0    = 0xA0 // [0], constructed
	tagContext1    = 0xA1
	tagContext0Raw = 0x80 // [0], primitive
)

// maxDepth is how deep elements of indefinite length may be nested. A
// certificate inside SignedData begins at depth 4, and certificates are DER.
const maxDepth = 16

var errTruncated = errors.New("it is cut short")

// element is one value of BER (X.690), whose length may be indefinite: Bouncy
// Castle, and so jpasskit, writes it that way.
type element struct {
	tag  byte
	body []byte // the contents octets
	full []byte // with identifier and length
}

// next returns the first element of in, and what follows it. body does not
// include the two zero octets that end an indefinite length.
func next(in []byte) (e element, rest []byte, err error) { return nextAt(in, 0) }

func nextAt(in []byte, depth int) (e element, rest []byte, err error) {
	if len(in) < 2 {
		return e, nil, errTruncated
	}
	e.tag = in[0]
	if e.tag&0x1F == 0x1F {
		return e, nil, errors.New("a tag above 30 is never used here")
	}
	length, header := int(in[1]), 2
	switch {
	case length == 0x80:
		return indefinite(in, depth)
	case length > 0x80:
		n := length - 0x80
		// Inputs are bounded far below what three octets can say.
		if n > 4 {
			return e, nil, errors.New("a length is longer than any input can be")
		}
		if len(in) < 2+n {
			return e, nil, errTruncated
		}
		length = 0
		for _, octet := range in[2 : 2+n] {
			length = length<<8 | int(octet)
		}
		header += n
	}
	if length < 0 || length > len(in)-header {
		return e, nil, errTruncated
	}
	end := header + length
	e.body, e.full = in[header:end], in[:end]
	return e, in[end:], nil
}

// indefinite finds the end of an element that does not say how long it is, by
// reading what is in it. The depth bounds how often a byte is looked at.
func indefinite(in []byte, depth int) (element, []byte, error) {
	if in[0]&0x20 == 0 {
		return element{}, nil, errors.New("a primitive value has no length")
	}
	if depth >= maxDepth {
		return element{}, nil, errors.New("it is nested too deep")
	}
	rest := in[2:]
	for {
		if len(rest) < 2 {
			return element{}, nil, errTruncated
		}
		if rest[0] == 0 && rest[1] == 0 {
			end := len(in) - len(rest)
			return element{tag: in[0], body: in[2:end], full: in[:end+2]}, rest[2:], nil
		}
		var err error
		if _, rest, err = nextAt(rest, depth+1); err != nil {
			return element{}, nil, err
		}
	}
}

// reader takes the members of a sequence one by one. It shares the first error
// with the readers inside it; once something failed, all that follows does
// nothing, so that one look at the end is enough.
type reader struct {
	rest []byte
	err  *error
}

func newReader(in []byte) *reader { return &reader{rest: in, err: new(error)} }

func (r *reader) more() bool { return *r.err == nil && len(r.rest) > 0 }

func (r *reader) fail(what string, err error) {
	if *r.err == nil {
		*r.err = fmt.Errorf("%s: %w", what, err)
	}
}

// take returns the next member, which must bear the tag.
func (r *reader) take(what string, tag byte) element {
	if *r.err != nil {
		return element{}
	}
	if len(r.rest) == 0 {
		r.fail(what, errors.New("it is missing"))
		return element{}
	}
	e, rest, err := next(r.rest)
	switch {
	case err != nil:
		r.fail(what, err)
	case e.tag != tag:
		r.fail(what, fmt.Errorf("it begins with octet %#02x, not %#02x", e.tag, tag))
	default:
		r.rest = rest
		return e
	}
	return element{}
}

// any returns the next member, whatever it is.
func (r *reader) any(what string) element {
	if !r.more() {
		return r.take(what, 0)
	}
	return r.take(what, r.rest[0])
}

// optional returns the next member if it bears the tag.
func (r *reader) optional(what string, tag byte) (element, bool) {
	if !r.more() || r.rest[0] != tag {
		return element{}, false
	}
	e := r.take(what, tag)
	return e, *r.err == nil
}

// inside begins to read the members of a sequence or set.
func (r *reader) inside(what string, tag byte) *reader {
	return &reader{rest: r.take(what, tag).body, err: r.err}
}

// oid takes an object identifier.
func (r *reader) oid(what string) string { return oid(r.take(what, tagOID).body) }

// end fails if there is something left.
func (r *reader) end(what string) {
	if r.more() {
		r.fail(what, fmt.Errorf("%d octets follow that do not belong to it", len(r.rest)))
	}
}
