package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"aviso.example/apns"
	"aviso.example/internal/message"
)

// verdict is the outcome of one notification as it is printed.
type verdict struct {
	DeviceToken string `json:"device_token,omitempty"`
	// ChannelID is where a broadcast went, instead of a device.
	ChannelID string `json:"channel_id,omitempty"`
	// Outcome is missing while a server has not settled it.
	Outcome  apns.Outcome `json:"outcome,omitzero"`
	ID       string       `json:"apns_id,omitempty"`
	UniqueID string       `json:"apns_unique_id,omitempty"`
	Attempts int          `json:"attempts"`
	Status   int          `json:"status,omitempty"`
	Reason   apns.Reason  `json:"reason,omitempty"`
	Since    time.Time    `json:"since,omitzero"`
	Action   apns.Action  `json:"action,omitempty"`
	// Error says why it was not accepted; Advice what to do.
	Error  string `json:"error,omitempty"`
	Advice string `json:"advice,omitempty"`

	// State is what a server calls it, Message the message there, and RetryAt when
	// it tries again.
	State   string    `json:"state,omitempty"`
	Message string    `json:"message,omitempty"`
	RetryAt time.Time `json:"retry_at,omitzero"`

	// request says that ID is an apns-request-id.
	request bool
	// invalid says that it was refused before anything was sent.
	invalid bool
}

func newVerdict(n *apns.Notification, r apns.Receipt, err error, words message.Words) (v verdict) {
	v = verdict{DeviceToken: n.DeviceToken, ChannelID: n.ChannelID, request: n.ChannelID != "", Outcome: apns.OutcomeOf(err), UniqueID: r.UniqueID, Attempts: r.Attempts}
	if !r.ID.IsZero() {
		v.ID = r.ID.String()
	}
	if err == nil {
		return v
	}
	if e, ok := errors.AsType[*apns.RejectedError](err); ok {
		info := e.Reason.Info(e.Status)
		v.Status, v.Reason, v.Since = e.Status, e.Reason, e.Since
		v.Action, v.Advice, v.Error = info.Action, info.Advice, info.Meaning
		if e.Cause != nil {
			v.Error += ": " + e.Cause.Error()
		}
		return v
	}
	if e, ok := errors.AsType[*apns.InvalidError](err); ok {
		v.invalid = true
		v.Error = words.Problems(e)
		return v
	}
	defer func() { v.Error = oneLine(v.Error) }()
	if e, ok := errors.AsType[*apns.NotSentError](err); ok {
		if e.Reason != "" {
			info := e.Reason.Info(0)
			v.Reason, v.Action, v.Advice = e.Reason, info.Action, info.Advice
		}
		if e.Cause != nil {
			v.Error = e.Cause.Error()
		}
		return v
	}
	if e, ok := errors.AsType[*apns.UnknownError](err); ok && e.Cause != nil {
		v.Error = e.Cause.Error()
		v.Advice = "It may or may not have been taken. Send it again only if a duplicate does no harm."
		return v
	}
	v.Error = err.Error()
	return v
}

func (v *verdict) exitCode() int {
	if v.invalid {
		return ExitUsage
	}
	if v.Outcome == 0 {
		return ExitUnreachable // nobody knows yet
	}
	var c exitCode
	c.add(v.Outcome)
	return int(c)
}

// printVerdict prints for people.
func (a *app) printVerdict(v verdict) {
	colour := map[apns.Outcome]string{apns.Accepted: green, apns.Rejected: red, apns.NotSent: red, apns.Unknown: yellow}[v.Outcome]
	word := strings.ReplaceAll(v.Outcome.String(), "_", " ")
	switch {
	case v.Outcome == apns.Accepted:
		word = "accepted by APNs"
	case v.State != "" && v.Outcome != apns.Rejected: // which says more
		word = v.State
	}
	a.printf("  %s", a.paint(a.stdout, colour, word))
	if v.Status != 0 || v.Reason != "" {
		a.printf(": %s", reasonText(v.Status, v.Reason))
	}
	a.printf("\n")
	line := func(name, text string) {
		if text != "" {
			a.printf("    %-15s %s\n", name, text)
		}
	}
	line("device token", shorten(v.DeviceToken))
	line("channel id", v.ChannelID)
	if v.request {
		line("request id", v.ID)
	} else {
		line("apns-id", v.ID)
	}
	line("apns-unique-id", v.UniqueID)
	if !v.Since.IsZero() {
		line("inactive since", v.Since.UTC().Format(time.RFC3339))
	}
	if v.Attempts > 1 {
		line("attempts", fmt.Sprint(v.Attempts))
	}
	if !v.RetryAt.IsZero() {
		line("due", v.RetryAt.UTC().Format(time.RFC3339))
	}
	line("why", v.Error)
	line("what to do", whatToDo(v.Action, v.Advice))
}

// whatToDo is an action and the advice that goes with it, in a sentence or two; the
// action alone is said where the advice begins with it anyway.
func whatToDo[T ~string](action T, advice string) string {
	first, rest := string(action), strings.Trim(advice, ". ")
	if rest != "" && first != "" && !strings.HasPrefix(strings.ToLower(rest), strings.ToLower(first)) {
		return first + ". " + rest + "."
	}
	if first = cmp.Or(rest, first); first != "" {
		first += "."
	}
	return first
}

func reasonText(status int, reason apns.Reason) string {
	switch {
	case status == 0:
		return string(reason)
	case reason == "":
		return fmt.Sprint(status)
	}
	return fmt.Sprintf("%d %s", status, reason)
}

// shorten makes a device token fit for a screen that others may see.
func shorten(deviceToken string) string {
	if len(deviceToken) <= 12 {
		return deviceToken
	}
	return deviceToken[:4] + "…" + deviceToken[len(deviceToken)-4:]
}

// oneLine flattens joined errors, which come one per line.
func oneLine(text string) string { return strings.Join(strings.Split(text, "\n"), "; ") }
