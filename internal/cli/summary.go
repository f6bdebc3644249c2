package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"aviso.example/apns"
)

// maxReasons bounds the reasons counted one by one; Apple has some thirty.
const maxReasons = 100

// summary is what a batch came to.
type summary struct {
	// Lines have an outcome in this run.
	Lines    int64 `json:"lines"`
	Accepted int64 `json:"accepted"`
	Rejected int64 `json:"rejected"`
	NotSent  int64 `json:"not_sent"`
	Unknown  int64 `json:"unknown"`
	// Invalid lines said nothing that could be sent.
	Invalid int64 `json:"invalid"`
	// Skipped lines have an outcome from an earlier run.
	Skipped skipped `json:"skipped"`
	// Open lines, part of NotSent, are sent by the next run with --resume.
	Open    int64   `json:"open"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"lines_per_second"`
	// Stopped says why the batch ended before its input did, or is empty.
	Stopped string        `json:"stopped,omitempty"`
	Reasons []reasonCount `json:"reasons"`

	byReason      map[reasonKey]*reasonCount
	misconfigured int64
	begun         time.Time
}

// skipped is counted by the reader, all else where outcomes are taken.
type skipped struct{ *atomic.Int64 }

func (s skipped) MarshalJSON() ([]byte, error) { return fmt.Append(nil, s.Load()), nil }

// reasonCount is a row of the summary.
type reasonCount struct {
	reasonKey
	Count  int64       `json:"count"`
	Action apns.Action `json:"action,omitempty"`
	Advice string      `json:"advice,omitempty"`
	// Example is the error of the first one, where there is no reason.
	Example string `json:"example,omitempty"`
}

type reasonKey struct {
	Outcome apns.Outcome `json:"outcome"`
	Status  int          `json:"status,omitempty"`
	Reason  apns.Reason  `json:"reason,omitempty"`
	// Class says what kind of trouble it was where there is no reason.
	Class string `json:"class,omitempty"`
}

func newSummary() summary {
	return summary{byReason: map[reasonKey]*reasonCount{}, begun: time.Now(), Skipped: skipped{new(atomic.Int64)}}
}

// class sorts what has no reason into few kinds; the error itself may name
// ports, times and numbers, and would make each its own kind.
func class(v *verdict, err error) string {
	if v.Reason != "" || v.Outcome == apns.Rejected {
		return ""
	}
	connect, ok := errors.AsType[*apns.ConnectError](err)
	switch {
	case ok:
		return "no connection (" + connect.Stage + ")"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, stopped("the run was interrupted")):
		return "interrupted"
	}
	return "connection lost"
}

func (s *summary) add(v *verdict, class string) {
	switch v.Outcome {
	case apns.Rejected:
		s.Rejected++
		if v.Action == apns.FixConfiguration {
			s.misconfigured++
		}
	case apns.NotSent:
		s.NotSent++
	default:
		s.Unknown++
	}
	key := reasonKey{v.Outcome, v.Status, v.Reason, class}
	row := s.byReason[key]
	if row == nil {
		if len(s.byReason) >= maxReasons {
			key = reasonKey{Outcome: v.Outcome, Class: "other reasons"}
			row = s.byReason[key]
		}
		if row == nil {
			row = &reasonCount{reasonKey: key, Action: v.Action, Advice: v.Advice}
			if v.Reason == "" {
				row.Example = v.Error
			}
			s.byReason[key] = row
		}
	}
	row.Count++
}

func (s *summary) end() {
	s.Seconds = time.Since(s.begun).Seconds()
	if s.Seconds > 0 {
		s.Rate = float64(s.Lines) / s.Seconds
	}
	s.Reasons = []reasonCount{}
	for _, row := range s.byReason {
		s.Reasons = append(s.Reasons, *row)
	}
	slices.SortFunc(s.Reasons, func(a, b reasonCount) int {
		return cmp.Or(cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Class, b.Class))
	})
}

func (s *summary) exitCode() int {
	switch {
	case s.NotSent+s.Unknown > 0 || s.Stopped != "":
		return ExitUnreachable
	case s.Rejected+s.Invalid > 0:
		return ExitRejected
	}
	return ExitOK
}

// report prints the summary.
func (b *batchRun) report() error {
	a, s := b.app, &b.sum
	if a.json {
		return a.printJSON(s)
	}
	lines := " lines"
	if s.Lines == 1 {
		lines = " line"
	}
	a.printf("%s%s in %.1f s, %s a second\n", grouped(s.Lines), lines, s.Seconds, grouped(int64(s.Rate)))
	row := func(colour, name string, n int64, always bool) {
		if n > 0 || always {
			a.printf("  %s %14s\n", a.paint(a.stdout, colour, fmt.Sprintf("%-18s", name)), grouped(n))
		}
	}
	reasons := func(outcome apns.Outcome) {
		for _, r := range s.Reasons {
			if r.Outcome != outcome {
				continue
			}
			name := reasonText(r.Status, r.Reason)
			if r.Class != "" {
				name = r.Class
			}
			a.printf("    %-32s %s\n", name, grouped(r.Count))
			if advice := whatToDo(r.Action, r.Advice); advice != "" {
				a.printf("      %s\n", advice)
			}
			if r.Example != "" {
				a.printf("      such as: %s\n", r.Example)
			}
		}
	}
	row(green, "accepted by APNs", s.Accepted, true)
	row(red, "rejected", s.Rejected, false)
	reasons(apns.Rejected)
	row(red, "not sent", s.NotSent, false)
	reasons(apns.NotSent)
	row(yellow, "unknown", s.Unknown, false)
	reasons(apns.Unknown)
	row(red, "bad lines", s.Invalid, false)
	row(dim, "settled before", s.Skipped.Load(), false)
	if b.failures != nil && b.failures.lines > 0 {
		lines := "1 line is"
		if b.failures.lines != 1 {
			lines = grouped(b.failures.lines) + " lines are"
		}
		a.printf("%s in %s, which can be given to --batch.\n", lines, b.flags.failures)
	}
	if s.Stopped != "" {
		a.printf("%s: %s\n", a.paint(a.stdout, yellow, "Stopped before the end of the input"), s.Stopped)
	}
	if b.flags.resume != "" && (s.Stopped != "" || s.Open > 0) {
		a.printf("The same command goes on with what has no outcome yet.\n")
	}
	return nil
}

// grouped writes a number as people read it.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
