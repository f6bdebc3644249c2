package api

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"aviso.example/engine"
)

// Paging is what a request for a list says about the page.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"How many to give at most."`
	Cursor string `query:"cursor" maxLength:"64" doc:"The next of the page before; opaque."`

	url url.URL
}

// Resolve keeps the URL for the link to the next page.
func (p *Paging) Resolve(ctx huma.Context) []error {
	p.url = ctx.URL()
	return nil
}

// link is the Link field (RFC 8288) for the next page.
func (p *Paging) link(name, next string) string {
	if next == "" {
		return ""
	}
	query := p.url.Query()
	query.Set(name, next)
	return "<" + p.url.Path + "?" + query.Encode() + `>; rel="next"`
}

// page is the answer with a list.
type page[T any] struct {
	Link string `header:"Link" doc:"The next page, if there is one (RFC 8288)."`
	Body T
}

// cursorKind keeps the cursor of one list from being taken for another's.
type cursorKind byte

const (
	verdictCursor cursorKind = iota + 1
	messageCursor
	batchCursor
	deadCursor
	letterCursor
	liveCursor
	messagesCursor
)

// text writes a place in a list, so that nobody counts on what is in it.
func (k cursorKind) text(values ...uint64) string {
	b := []byte{byte(k)}
	for _, v := range values {
		b = binary.AppendUvarint(b, v)
	}
	b = append(b, byte(crc32.ChecksumIEEE(b)))
	return base64.RawURLEncoding.EncodeToString(b)
}

// read is the inverse of text. No text is the beginning: zeros.
func (k cursorKind) read(name, text string, values ...*uint64) *Problem {
	if text == "" {
		return nil
	}
	wrong := invalid(FieldProblem{name, "is not a cursor of this list; take next from the page before"})
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < 2 || b[0] != byte(k) || b[len(b)-1] != byte(crc32.ChecksumIEEE(b[:len(b)-1])) {
		return wrong
	}
	b = b[1 : len(b)-1]
	var given []uint64
	for _, v := range values {
		value, n := binary.Uvarint(b)
		if n <= 0 {
			return wrong
		}
		*v, b = value, b[n:]
		given = append(given, value)
	}
	if k.text(given...) != text { // the encodings have more texts for it than we write
		return wrong
	}
	return nil
}

// numbersOf and batchIDOf carry an id through a cursor.
func numbersOf(id engine.BatchID) (high, low uint64) {
	return binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
}

func batchIDOf(high, low uint64) (id engine.BatchID) {
	binary.BigEndian.PutUint64(id[:8], high)
	binary.BigEndian.PutUint64(id[8:], low)
	return id
}
