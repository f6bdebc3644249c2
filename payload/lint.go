package payload

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"
)

const (
	// maxLint is the longest payload whose content is looked at, sixteen times
	// Apple's limit. What is longer is rejected anyway, and this bounds memory.
	maxLint = 64 << 10
	// maxFindings bounds the answer; a longer list helps nobody.
	maxFindings = 100
)

// A Finding is one thing the linter has to say.
type Finding struct {
	Severity Severity `json:"severity"`
	// Code is the stable name of the rule; see [Rules].
	Code Code `json:"code"`
	// Path is the JSON pointer (RFC 6901) of the value, "" for the whole
	// payload, or the name of a header field such as "apns-priority".
	Path string `json:"path"`
	// Offset is the position in the payload in bytes, or -1 for a header field.
	Offset int `json:"offset"`
	// Message says what is wrong. It names keys and numbers, never texts.
	Message string `json:"message"`
	// Fix says what to do.
	Fix string `json:"fix"`
	// Source is the title of the Apple page the rule comes from, or "observed".
	Source string `json:"source"`
}

// String returns the finding in one line.
func (f Finding) String() string {
	where := f.Path
	if where == "" {
		where = "payload"
	}
	return fmt.Sprintf("%s: %s: %s (%s) [%s]", f.Severity, where, f.Message, f.Fix, f.Code)
}

// Environment is one of Apple's two worlds. The zero value means "not known".
type Environment string

// The two environments.
const (
	Production Environment = "production"
	Sandbox    Environment = "sandbox"
)

// Linter holds what is known about a push besides its payload. Each field left
// at its zero value switches off the rules that need it.
type Linter struct {
	// Topic is the value of apns-topic.
	Topic string
	// Priority is the value of apns-priority.
	Priority Priority
	// Expiration is the value of apns-expiration in UNIX seconds; nil when it
	// is not known or not sent. Write it as new(int64(0)).
	Expiration *int64
	// Environment is where the push goes.
	Environment Environment
	// Broadcast says that the push goes to a channel: 5120 bytes, no start.
	Broadcast bool
	// CriticalAlerts says that the app has the critical-alerts entitlement.
	// Otherwise every critical payload gets a reminder, because APNs does not
	// check and the device plays such a sound like any other.
	CriticalAlerts bool
	// Now is the time to judge the expiration by. The linter never asks the
	// clock, so that equal input gives equal findings.
	Now time.Time
}

// Lint reports everything that is wrong with a payload for the given push type,
// or "" when that is not known: what Apple rejects, what it drops silently and
// what looks like a mistake, worst first and then in the order of the bytes.
// Nil means nothing was found. Any bytes are welcome: it never panics, takes
// time linear in their number and looks no deeper than 512 levels. The content
// of a payload longer than 64 KiB is not looked at.
func Lint(t PushType, payload []byte) []Finding { return Linter{}.Lint(t, payload) }

// Lint is the function [Lint] with what is known besides.
func (l Linter) Lint(t PushType, payload []byte) []Finding {
	r := &lintRun{Linter: l, t: t, in: setOf(t)}
	r.headers()
	if r.in == inAny {
		r.t = "" // an unknown push type says nothing about the payload
	}
	r.size(payload)
	if len(payload) > 0 && len(payload) <= maxLint {
		r.payload(payload)
	}
	return r.sorted()
}

// lintRun is one call of Lint.
type lintRun struct {
	Linter
	t     PushType
	in    typeSet
	doc   *document
	found []Finding
}

func (r *lintRun) add(code Code, path string, offset int, message, fix string) {
	rule := rules[code]
	r.found = append(r.found, Finding{
		Severity: rule.Severity, Code: code, Path: path, Offset: offset,
		Message: message, Fix: fix, Source: rule.Source,
	})
}

// at adds a finding about a value.
func (r *lintRun) at(code Code, node int, message, fix string) {
	r.add(code, r.doc.pointer(node), int(r.doc.nodes[node].start), message, fix)
}

// missing adds a finding about a member that an object lacks.
func (r *lintRun) missing(code Code, object int, key, message, fix string) {
	r.add(code, r.doc.pointer(object)+"/"+key, int(r.doc.nodes[object].start), message, fix)
}

// header adds a finding about a header field.
func (r *lintRun) header(code Code, field, message, fix string) {
	r.add(code, field, -1, message, fix)
}

func (r *lintRun) sorted() []Finding {
	slices.SortStableFunc(r.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Offset, b.Offset),
			cmp.Compare(a.Code, b.Code), cmp.Compare(a.Path, b.Path))
	})
	if more := len(r.found) - maxFindings; more > 0 {
		r.found = r.found[:maxFindings]
		r.add(CodeFindingsTruncated, "", 0, fmt.Sprintf("%d more findings are not listed", more), "fix these first")
	}
	return r.found
}

// wallet says that the topic is that of a pass or an order.
func (r *lintRun) wallet() bool { return isWalletTopic(r.Topic) }

func (r *lintRun) size(payload []byte) {
	limit, what := MaxSize(r.t), "the limit"
	if r.Broadcast {
		limit, what = MaxBroadcast, "the limit of a broadcast"
	}
	switch n := len(payload); {
	case n == 0:
		r.add(CodePayloadEmpty, "", 0, "no bytes; APNs answers PayloadEmpty", "send at least {}")
	case n > limit:
		message := fmt.Sprintf("%d bytes, %d more than %s of %d; APNs answers PayloadTooLarge", n, n-limit, what, limit)
		if n > maxLint {
			message += "; the content was not looked at"
		}
		r.add(CodePayloadTooLarge, "", 0, message, "shorten the texts, or send an identifier and let the app fetch the rest")
	case n > limit-limit/20:
		r.add(CodeSizeNearLimit, "", 0, fmt.Sprintf("%d bytes of %d; a longer name or translation will not fit", n, limit),
			"shorten the texts before sending")
	}
}

func (r *lintRun) payload(payload []byte) {
	body := payload
	if rest, ok := bytes.CutPrefix(payload, []byte("\xef\xbb\xbf")); ok {
		r.add(CodeByteOrderMark, "", 0, "a byte order mark before the JSON, at which parsers stop",
			"write the JSON as UTF-8 without signature")
		// Spaces keep the offsets right for what follows.
		body = append([]byte("   "), rest...)
	}
	doc, bad := scan(body)
	if bad != nil {
		r.add(bad.code, "", bad.offset, bad.problem().Message, bad.fix)
		return
	}
	r.doc = doc
	for _, f := range doc.faults {
		text := faultTexts[f.code]
		r.add(f.code, doc.pointer(f.at), f.offset, text.message, text.fix)
	}
	if k := doc.nodes[0].kind; k != kindObject {
		r.at(CodeNotAnObject, 0, "a payload is an object, not "+k.String(), notObjectFix(k))
		return
	}
	r.object()
}

// object applies the rules about the payload as a whole.
func (r *lintRun) object() {
	if r.wallet() {
		if r.doc.nodes[0].first != 0 {
			r.at(CodeWalletPayload, 0, "Wallet ignores everything in the body; the text people see comes from changeMessage", "send {}")
		}
		return
	}
	if r.t == PushTypeMDM {
		r.mdm()
		return
	}
	aps := r.doc.member(0, "aps")
	switch {
	case aps < 0:
		r.withoutAPS()
	case r.doc.nodes[aps].kind != kindObject:
		fix := "make it an object"
		if r.doc.nodes[aps].kind == kindString {
			fix = "the dictionary was encoded twice; put the object itself there"
		}
		r.at(CodeAPSNotObject, aps, "aps is "+r.doc.nodes[aps].kind.String()+", so nothing in it is read", fix)
		aps = -1
	default:
		r.apsKeys(aps)
	}
	r.keysOutside(aps)
	if aps >= 0 {
		r.presentation(aps)
		r.activity(aps)
	}
	r.special(aps)
}
