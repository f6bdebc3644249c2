package payload

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// ellipsis ends a shortened text. It takes three bytes in UTF-8 and needs no
// escape.
const ellipsis = "…"

// Shorten makes a payload fit into limit bytes ([MaxSize] knows Apple's) by
// trimming texts of its alert, and returns it unchanged, not copied, when it
// fits already. First the body gives way, as far as it must and down to a bare
// "…"; then the subtitle in the same manner. The title stays, because it is
// what the person tells notifications apart by. A string in place of the alert
// object counts as body.
//
// A text is cut between grapheme clusters only (what a person sees as one
// character, such as a flag or a family emoji) and without the white space
// before the cut. Every other byte stays as it was: spacing, escapes, order of
// keys. Sizes are those of the encoded JSON, so a text full of escapes loses
// more characters than one without.
//
// The error is an *InvalidError: the payload is not a JSON object, or it does
// not fit even so (errors.Is with [ErrTooLarge]).
func Shorten(payload []byte, limit int) ([]byte, error) {
	limit = max(limit, 0)
	cuts, err := planCuts(payload, limit)
	if err != nil {
		return nil, err
	}
	if len(cuts) == 0 {
		return payload, nil
	}
	out := make([]byte, 0, limit)
	from := 0
	for _, c := range cuts {
		out = append(out, payload[from:c.keepEnd]...)
		out = append(out, ellipsis...)
		from = c.end
	}
	return append(out, payload[from:]...), nil
}

// Shorten returns a copy of the alert whose JSON fits into limit bytes; see the
// function [Shorten]. Problems other than the size are reported as by JSON.
func (a Alert) Shorten(limit int) (Alert, error) {
	encoded, err := a.append(nil, maxScan)
	if err != nil {
		return Alert{}, err
	}
	cuts, err := planCuts(encoded, max(limit, 0))
	if err != nil {
		return Alert{}, err
	}
	for _, c := range cuts {
		if c.isBody {
			a.Body = a.Body[:c.keepText] + ellipsis
		} else {
			a.Subtitle = a.Subtitle[:c.keepText] + ellipsis
		}
	}
	return a, nil
}

// cut replaces the tail of one string, src[keepEnd:end], by an ellipsis.
type cut struct {
	isBody       bool
	keepEnd, end int // in the JSON
	keepText     int // in the decoded text
}

// planCuts decides what to cut from src so that it fits: nothing if it does.
// The cuts come in the order of the text.
func planCuts(src []byte, limit int) ([]cut, error) {
	doc, problems := checkObject(src)
	if len(problems) > 0 {
		return nil, &InvalidError{Problems: problems}
	}
	if len(src) <= limit {
		return nil, nil
	}
	body, subtitle := doc.alertTexts()
	over := len(src) - limit
	var cuts []cut
	for _, at := range []int{body, subtitle} {
		if at < 0 || over <= 0 {
			continue
		}
		length := len(doc.raw(at)) - 2 // without the quotes
		if length <= len(ellipsis) {
			continue
		}
		c := doc.cutTo(at, max(length-over, len(ellipsis)))
		c.isBody = at == body
		over -= c.end - c.keepEnd - len(ellipsis)
		cuts = append(cuts, c)
	}
	if over > 0 {
		return nil, cannotFit(limit, over, body >= 0)
	}
	if len(cuts) == 2 && cuts[0].end > cuts[1].end {
		cuts[0], cuts[1] = cuts[1], cuts[0]
	}
	return cuts, nil
}

func cannotFit(limit, over int, hasBody bool) error {
	message := fmt.Sprintf("%d bytes too many for the limit of %d even with body and subtitle cut to nothing", over, limit)
	if !hasBody {
		message = fmt.Sprintf("%d bytes too many for the limit of %d, and no alert body to shorten", over, limit)
	}
	return &InvalidError{tooLarge: true, Problems: []Problem{{
		Message: message, Fix: "send fewer or smaller custom keys and let the app fetch the rest",
	}}}
}

// alertTexts returns the strings that may be cut, -1 for none.
func (d *document) alertTexts() (body, subtitle int) {
	aps := d.member(0, "aps")
	if aps < 0 {
		return -1, -1
	}
	alert := d.member(aps, "alert")
	if alert < 0 {
		return -1, -1
	}
	if d.nodes[alert].kind == kindString {
		return alert, -1
	}
	stringMember := func(key string) int {
		at := d.member(alert, key)
		if at >= 0 && d.nodes[at].kind != kindString {
			return -1
		}
		return at
	}
	return stringMember("body"), stringMember("subtitle")
}

// cutTo finds how much of a string stays so that, with the ellipsis, at most
// budget bytes of JSON stand between its quotes. It walks the clusters of the
// decoded text and the bytes of the JSON side by side.
func (d *document) cutTo(at, budget int) cut {
	start := int(d.nodes[at].start) + 1
	c := cut{keepEnd: start, end: int(d.nodes[at].end) - 1}
	rest, state := d.text(at), -1
	encoded, decoded := start, 0
	for len(rest) > 0 {
		var cluster []byte
		cluster, rest, _, state = uniseg.FirstGraphemeCluster(rest, state)
		for range utf8.RuneCount(cluster) {
			_, size, _ := nextRune(d.src[encoded:c.end])
			encoded += size
		}
		decoded += len(cluster)
		if encoded-start+len(ellipsis) > budget {
			break
		}
		if first, _ := utf8.DecodeRune(cluster); !unicode.IsSpace(first) {
			c.keepEnd, c.keepText = encoded, decoded
		}
	}
	return c
}
