package message

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"aviso.example/apns"
	"aviso.example/internal/proto"
	"aviso.example/internal/suggest"
	"aviso.example/payload"
)

// ParsePushType refuses a push type that does not exist, with the likely mistake.
func ParsePushType(text string) (apns.PushType, error) {
	if rule, ok := proto.RuleFor(proto.PushType(text)); ok {
		return rule.Type, nil
	}
	var all []string
	for _, rule := range proto.TypeRules {
		all = append(all, string(rule.Type))
	}
	if strings.EqualFold(text, "silent") {
		return "", fmt.Errorf("%s is not a push type; silent pushes are called background", quote(text))
	}
	return "", fmt.Errorf("%s is not a push type%s; there are %s", quote(text), suggest.Hint(text, all), strings.Join(all, ", "))
}

// The errors of the parsers below want the name of the part before them: "priority
// is 7; it has to be …".

// ParsePriority takes the three priorities there are.
func ParsePriority(n int) (apns.Priority, error) {
	if n != 10 && n != 5 && n != 1 {
		return 0, fmt.Errorf("is %d; it has to be 10 (at once), 5 (mind the device's power) or 1 (never wake the device)", n)
	}
	return apns.Priority(n), nil
}

var interruptionLevels = []string{"passive", "active", "time-sensitive", "critical"}

// ParseInterruptionLevel takes the four levels there are.
func ParseInterruptionLevel(text string) (payload.InterruptionLevel, error) {
	if slices.Contains(interruptionLevels, text) {
		return payload.InterruptionLevel(text), nil
	}
	return "", fmt.Errorf("%s is not an interruption level%s; there are %s", quote(text), suggest.Hint(text, interruptionLevels), strings.Join(interruptionLevels, ", "))
}

// ParseBadge reads a number, or clear.
func ParseBadge(text string) (payload.Badge, error) {
	if text == "clear" {
		return payload.ClearBadge(), nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return payload.Badge{}, fmt.Errorf("has to be a number from 0, or clear")
	}
	return payload.SetBadge(n), nil
}

// Expiration is a time, or a distance from the moment of sending. The zero value
// is none.
type Expiration struct {
	given bool
	at    int64 // UNIX seconds; 0 is at once
	after time.Duration
}

// Value returns what it means at a moment.
func (e Expiration) Value(now time.Time) apns.Expiration {
	if !e.given {
		return apns.Expiration{}
	}
	return apns.ExpireAtUnix(e.Unix(now))
}

// Unix returns the value of apns-expiration that it means at a moment: UNIX
// seconds, or 0 for a single attempt.
func (e Expiration) Unix(now time.Time) int64 {
	if e.after > 0 {
		return now.Add(e.after).Unix()
	}
	return e.at
}

// ParseExpiration reads 0, a duration, a time or UNIX seconds.
func ParseExpiration(text string) (Expiration, error) {
	if at, err := strconv.ParseInt(text, 10, 64); err == nil && at == 0 {
		return Expiration{given: true}, nil
	}
	return parseLater(text, "0 (one attempt), ", "; use 0 for a single attempt")
}

// ParseTime reads a duration from now on, a time or UNIX seconds.
func ParseTime(text string, now time.Time) (time.Time, error) {
	e, err := parseLater(text, "", "")
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(e.Unix(now), 0), nil
}

// parseLater reads a time to come. Its errors also name what else may be given there, and
// what to do with a time that is past.
func parseLater(text, orElse, advice string) (Expiration, error) {
	want := fmt.Sprintf("has to be %sa duration like 1h or 7d from now, a time like 2030-01-31T12:00:00Z, or UNIX seconds", orElse)
	if advice == "" {
		advice = "; it " + want
	}
	if at, err := strconv.ParseInt(text, 10, 64); err == nil {
		switch {
		case at < 0:
			return Expiration{}, errors.New("cannot be negative" + advice)
		case at == 0:
			return Expiration{}, errors.New("is 0; leave it out where no time is meant")
		case at < 365*24*3600:
			return Expiration{}, fmt.Errorf("is %d, a time in 1970; for a duration write %ds", at, at)
		}
		return Expiration{given: true, at: at}, nil
	}
	duration, unit := text, time.Duration(1)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		duration, unit = days+"h", 24
	}
	if d, err := time.ParseDuration(duration); err == nil {
		if d <= 0 || d*unit/unit != d {
			return Expiration{}, errors.New("has to lie in the future" + advice)
		}
		return Expiration{given: true, after: max(d*unit, time.Second)}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return Expiration{given: true, at: at.Unix()}, nil
	}
	return Expiration{}, errors.New(want)
}
