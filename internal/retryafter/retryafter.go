// Package retryafter reads the header field by which a server asks for patience.
package retryafter

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// Most is the longest that Parse returns, far below any overflow.
const Most = 365 * 24 * time.Hour

// Parse reads the field of RFC 9110 section 10.2.3: seconds, or a date, which is counted
// from now by the server's clock. What cannot be read is zero, as is a date that has
// passed.
func Parse(value string, now time.Time) time.Duration {
	// A number that is too large for ParseUint still asks for patience.
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return min(time.Duration(min(seconds, uint64(Most/time.Second)))*time.Second, Most)
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	// The date has whole seconds; now is usually somewhat into one.
	return min(max(0, date.Sub(now)), Most)
}
