package wallet

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Date is a date with time and zone as Wallet reads it: a full date, T, hours and
// minutes, optionally seconds and a fraction, then Z or an offset such as +02:00
// ("2026-07-01T20:30+02:00"). It keeps the text as written, and so its zone. ""
// means that there is none.
type Date string

// DateOf writes a time with its own zone, to the second.
func DateOf(t time.Time) Date { return Date(t.Format(time.RFC3339)) }

var errDate = errors.New(`a date is written like "2026-07-01T20:30:00+02:00": with T, at least hours and minutes, and a zone that is Z or ±HH:MM`)

// Time reads the date, with a fixed zone of its offset. It reads what Apple's
// pass-builder reads, which is less than RFC 3339 and ISO 8601 allow: an offset
// needs its colon.
func (d Date) Time() (time.Time, error) {
	const form = "dddd-dd-ddTdd:dd"
	text := string(d)
	if len(text) < len(form) {
		return time.Time{}, errDate
	}
	// time.Parse is too generous: it takes hours of one digit.
	for i := range len(form) {
		if form[i] == 'd' && (text[i] < '0' || text[i] > '9') || form[i] != 'd' && text[i] != form[i] {
			return time.Time{}, errDate
		}
	}
	layout := "2006-01-02T15:04Z07:00"
	if text[len(form):] != "" && text[len(form)] == ':' {
		layout = time.RFC3339
	}
	t, err := time.Parse(layout, text)
	if err != nil || strings.Contains(text, ",") {
		return time.Time{}, errDate
	}
	// time.Parse takes a zone of a whole day, too.
	if _, offset := t.Zone(); offset <= -24*60*60 || offset >= 24*60*60 {
		return time.Time{}, errDate
	}
	return t, nil
}

// Color is a colour: "rgb(r, g, b)" with decimals from 0 to 255, which is what
// Apple documents, "rgba(r, g, b, a)" with an opacity from 0 to 1, which Wallet itself
// writes into passes that it makes and Apple's sample of a boarding pass has, or "#RGB"
// or "#RRGGBB", which Apple's pass-builder reads as well. "" means that there is none.
type Color string

// RGB writes a colour.
func RGB(r, g, b uint8) Color { return Color(fmt.Sprintf("rgb(%d, %d, %d)", r, g, b)) }

var errColor = errors.New(`a colour is written like "rgb(20, 110, 200)" with numbers from 0 to 255, or "rgba(20, 110, 200, 0.5)"`)

// RGB reads the colour, without its opacity.
func (c Color) RGB() (r, g, b uint8, err error) {
	r, g, b, _, err = c.RGBA()
	return r, g, b, err
}

// RGBA reads the colour and its opacity, which is 1 unless it is written.
func (c Color) RGBA() (r, g, b uint8, opacity float64, err error) {
	text := strings.TrimSpace(string(c))
	if digits, ok := strings.CutPrefix(text, "#"); ok {
		if len(digits) == 3 {
			digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
		}
		n, err := strconv.ParseUint(digits, 16, 32)
		if err != nil || len(digits) != 6 {
			return 0, 0, 0, 0, errColor
		}
		return uint8(n >> 16), uint8(n >> 8), uint8(n), 1, nil
	}
	inside, closed := strings.CutSuffix(text, ")")
	name, inside, ok := strings.Cut(inside, "(")
	parts := strings.Split(inside, ",")
	opacity = 1
	if name == "rgba" && len(parts) == 4 {
		opacity, err = strconv.ParseFloat(strings.TrimSpace(parts[3]), 64)
		ok = ok && err == nil && 0 <= opacity && opacity <= 1
		parts = parts[:3]
	} else {
		ok = ok && name == "rgb"
	}
	if !ok || !closed || len(parts) != 3 {
		return 0, 0, 0, 0, errColor
	}
	var rgb [3]uint8
	for i, part := range parts {
		n, err := strconv.ParseUint(strings.TrimSpace(part), 10, 8)
		if err != nil {
			return 0, 0, 0, 0, errColor
		}
		rgb[i] = uint8(n)
	}
	return rgb[0], rgb[1], rgb[2], opacity, nil
}
