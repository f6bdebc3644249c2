package webpush

import (
	"encoding/json"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// reasonWord is what can be one of Apple's words.
var reasonWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,63}$`)

// explain takes the reason from an answer, or else what it says in other words.
func (a *answer) explain(scrub *strings.Replacer) (Reason, string) {
	var apple struct {
		Reason string `json:"reason"`
	}
	// A word that holds a secret is none of Apple's.
	if json.Unmarshal(a.body, &apple) == nil && reasonWord.MatchString(apple.Reason) && scrub.Replace(apple.Reason) == apple.Reason {
		return Reason(apple.Reason), ""
	}
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.mediaType)), "text/html") {
		return "", "an HTML page"
	}
	return "", oneLine(scrub.Replace(string(a.body)), maxDetail)
}

// scrubber replaces what is secret about a subscription and a request, in case
// the peer repeats it: the endpoint, the parts of its path, the JWT.
func scrubber(s *subscription, authorization string) *strings.Replacer {
	const dots = "…"
	pairs := []string{s.endpoint, dots, s.url.RequestURI(), dots, s.url.Path, dots}
	// Short parts are words like "send"; the secret is never short.
	// The path counts as it was sent and decoded.
	for _, part := range strings.FieldsFunc(s.url.RequestURI()+"/"+s.url.Path, func(c rune) bool { return strings.ContainsRune("/?&=:", c) }) {
		if len(part) >= 12 {
			pairs = append(pairs, part, dots)
		}
	}
	for _, part := range strings.FieldsFunc(authorization, func(c rune) bool { return strings.ContainsRune(" =,", c) }) {
		if len(part) >= 12 {
			pairs = append(pairs, part, dots)
		}
	}
	kept := pairs[:0]
	for i := 0; i < len(pairs); i += 2 {
		if len(pairs[i]) > 1 { // a path that is "/" or nothing is no secret
			kept = append(kept, pairs[i], dots)
		}
	}
	return strings.NewReplacer(kept...)
}

// oneLine makes a line of at most limit bytes of what a stranger wrote.
func oneLine(text string, limit int) string {
	var b strings.Builder
	space := false
	for _, c := range strings.ToValidUTF8(text, "\ufffd") {
		if unicode.IsSpace(c) || !unicode.IsPrint(c) {
			space = b.Len() > 0
			continue
		}
		if b.Len()+utf8.RuneLen(c)+1 > limit {
			b.WriteString("…")
			break
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(c)
	}
	return b.String()
}

// plainly rewords an error of the network whose text is long, has several lines
// or repeats what is secret; the error stays reachable for errors.As, and its own
// text is not printed.
func plainly(err error, scrub *strings.Replacer) error {
	text := err.Error()
	if clean := oneLine(scrub.Replace(text), maxCause); clean != text {
		return &reworded{clean, err}
	}
	return err
}

type reworded struct {
	text string
	err  error
}

func (e *reworded) Error() string { return e.text }
func (e *reworded) Unwrap() error { return e.err }
