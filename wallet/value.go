package wallet

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// Value is the value of a field: a text, a number or a date. The zero Value means
// that there is none, which is not the same as the text "" or the number 0.
// Numbers keep the digits they were written with.
type Value struct {
	text string
	kind valueKind
}

type valueKind uint8

const (
	valueAbsent valueKind = iota
	valueText
	valueNumber
)

// Text makes a value of a text, which Wallet looks up in pass.strings.
func Text(s string) Value { return Value{s, valueText} }

// Int makes a value of a whole number.
func Int(n int64) Value { return Value{strconv.FormatInt(n, 10), valueNumber} }

// Float makes a value of a number. Not a number and infinity make an absent value.
func Float(f float64) Value {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Value{}
	}
	return Value{string(appendFloat(nil, f)), valueNumber}
}

// Decimal makes a value of a number in JSON's notation, such as "12.50", digit
// for digit. What is no number makes an absent value.
func Decimal(digits string) Value {
	if !isNumber(digits) {
		return Value{}
	}
	return Value{digits, valueNumber}
}

// Moment makes a value of a date, with the zone of the time. Without a dateStyle
// or timeStyle in its field, Wallet shows it as the text it is.
func Moment(t time.Time) Value { return Text(string(DateOf(t))) }

// IsZero reports whether there is no value.
func (v Value) IsZero() bool { return v.kind == valueAbsent }

// IsNumber reports whether the value is a number.
func (v Value) IsNumber() bool { return v.kind == valueNumber }

// String returns the text, or the number as written; "" if there is none.
func (v Value) String() string { return v.text }

// Float returns the number; false if the value is none.
func (v Value) Float() (float64, bool) {
	if v.kind != valueNumber {
		return 0, false
	}
	f, err := strconv.ParseFloat(v.text, 64)
	return f, err == nil
}

// MarshalJSON writes a string, a number, or null if there is no value.
func (v Value) MarshalJSON() ([]byte, error) { return v.append(nil), nil }

func (v Value) append(dst []byte) []byte {
	switch v.kind {
	case valueText:
		return appendString(dst, v.text)
	case valueNumber:
		return append(dst, v.text...)
	default:
		return append(dst, "null"...)
	}
}

// UnmarshalJSON reads a string or a number.
func (v *Value) UnmarshalJSON(data []byte) error { return unmarshal(data, v) }

func (v *Value) set(raw json.RawMessage) bool {
	switch kindOf(raw) {
	case kindString:
		text, err := unquote(raw)
		*v = Text(text)
		return err == nil
	case kindNumber:
		*v = Value{string(raw), valueNumber}
		return true
	}
	return false
}

func isNumber(s string) bool {
	return s != "" && (s[0] == '-' || s[0] >= '0' && s[0] <= '9') && json.Valid([]byte(s)) && s[len(s)-1] >= '0' && s[len(s)-1] <= '9'
}
