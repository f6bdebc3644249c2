package payload

import "strconv"

// A Badge says what happens to the number on the app's icon. The zero value
// keeps it, so that a forgotten field never wipes a badge; see [ClearBadge] and
// [SetBadge].
type Badge struct {
	set bool
	n   int
}

// KeepBadge leaves the number as it is: the key "badge" is absent. It is the
// zero value, spelled out.
func KeepBadge() Badge { return Badge{} }

// ClearBadge removes the number: "badge":0.
func ClearBadge() Badge { return Badge{set: true} }

// SetBadge shows the number n. SetBadge(0) is ClearBadge, since that is what
// Apple makes of 0; a negative n is refused by JSON.
func SetBadge(n int) Badge { return Badge{set: true, n: n} }

// Value returns the number that will be sent; ok is false when the badge is
// kept.
func (b Badge) Value() (n int, ok bool) { return b.n, b.set }

// String returns "keep", "clear" or the number.
func (b Badge) String() string {
	switch {
	case !b.set:
		return "keep"
	case b.n == 0:
		return "clear"
	default:
		return strconv.Itoa(b.n)
	}
}

func (e *encoder) badge(parent string, b Badge) {
	if !b.set {
		return
	}
	if b.n < 0 {
		e.problem(parent+"/badge", "a badge cannot be negative",
			"use ClearBadge to remove it, KeepBadge to leave it alone")
	}
	e.integer("badge", int64(b.n))
}
