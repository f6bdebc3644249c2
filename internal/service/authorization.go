package service

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
)

// Scheme is an authentication scheme: the first word of the Authorization field.
// What follows it is the authentication token, which stands in the package that
// the device has.
type Scheme string

// Apple's schemes.
const (
	// ApplePass is of Wallet passes ("Adding a Web Service to Update Passes").
	ApplePass Scheme = "ApplePass"
	// AppleOrder is of Wallet orders ("Register a device for update
	// notifications").
	AppleOrder Scheme = "AppleOrder"
	// ApplePushNotifications is of Safari's push packages ("Notification
	// Programming Guide for Websites").
	ApplePushNotifications Scheme = "ApplePushNotifications"
)

const (
	// MinAuthenticationToken is the least number of characters of an
	// authentication token, for passes, orders and websites alike ("Pass",
	// "Order", "Notification Programming Guide for Websites").
	MinAuthenticationToken = 16
	// maxAuthenticationToken bounds what is looked at. It is ours: Apple gives no
	// limit, and a device repeats what the issuer wrote.
	maxAuthenticationToken = 4096
)

// Presented returns the authentication token of a request, or the problem to
// answer with: 401 if there is none, if it is of another scheme, or if there are
// several. The scheme's case does not matter (RFC 9110 section 11.1).
func (s Scheme) Presented(r *http.Request) (string, *Problem) {
	fields := r.Header.Values("Authorization")
	switch len(fields) {
	case 0:
		return "", s.Unauthorized(fmt.Sprintf("Authorization is missing; it is %s, a space, and the authentication token of the package", s))
	case 1:
	default:
		return "", s.Unauthorized("Authorization was sent more than once")
	}
	scheme, presented, _ := strings.Cut(fields[0], " ")
	presented = strings.Trim(presented, " \t")
	switch {
	case !strings.EqualFold(scheme, string(s)):
		return "", s.Unauthorized(fmt.Sprintf("the scheme of Authorization has to be %s here; is this the service for another kind of package?", s))
	case presented == "":
		return "", s.Unauthorized("Authorization has no authentication token after the scheme")
	case len(presented) > maxAuthenticationToken:
		return "", s.Unauthorized(fmt.Sprintf("the authentication token has %d bytes; more than %d are not looked at", len(presented), maxAuthenticationToken))
	}
	return presented, nil
}

// Unauthorized is the answer 401, with the scheme that would be right.
func (s Scheme) Unauthorized(detail string) *Problem {
	return &Problem{Status: http.StatusUnauthorized, Detail: detail, scheme: s}
}

// Refused is the answer 401 to an authentication token that is not the right one,
// and to any for a package that does not exist: who may not see it cannot find out
// whether it is there.
func (s Scheme) Refused() *Problem {
	return s.Unauthorized("there is no such package, or the authentication token is not that of the package")
}

// SameAuthenticationToken compares what a device presented with what was written
// into its package, in a time that says nothing about either, not even their
// length. An empty one is never the same: where no authentication token was issued,
// none is right.
func SameAuthenticationToken(presented, issued string) bool {
	a, b := sha256.Sum256([]byte(presented)), sha256.Sum256([]byte(issued))
	same := subtle.ConstantTimeCompare(a[:], b[:]) == 1
	return same && issued != ""
}
