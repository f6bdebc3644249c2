package retryafter

import (
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	now := time.Date(2026, 11, 24, 22, 0, 0, 250e6, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                                   0,
		"0":                                  0,
		"120":                                2 * time.Minute,
		"-1":                                 0,
		"1.5":                                0,
		"soon":                               0,
		"99999999999999999999":               365 * 24 * time.Hour,
		"9999999999999999999":                365 * 24 * time.Hour,
		"Tue, 24 Nov 2026 22:00:30 GMT":      29750 * time.Millisecond,
		"Tuesday, 24-Nov-26 22:00:30 GMT":    29750 * time.Millisecond,
		"Tue Nov 24 22:00:30 2026":           29750 * time.Millisecond,
		"Tue, 24 Nov 2026 21:00:30 GMT":      0,
		"Tue, 24 Nov 2099 21:00:30 GMT":      365 * 24 * time.Hour,
		"Tue, 24 Nov 2026 22:00:30 GMT, 120": 0,
	} {
		if got := Parse(value, now); got != want {
			t.Errorf("%q is %v, want %v", value, got, want)
		}
	}
}
