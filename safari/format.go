package safari

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"aviso.example/internal/bundle"
)

// parseFormat counts the placeholders of a urlFormatString. problem is empty if
// it is in order.
//
// Safari uses it as a format string, so a per cent sign is %%, and escapes like
// %20 are mistakes.
func parseFormat(format string) (placeholders int, problem, fix string) {
	var filled strings.Builder
	for rest := format; ; {
		before, after, found := strings.Cut(rest, "%")
		filled.WriteString(before)
		if !found {
			break
		}
		switch {
		case strings.HasPrefix(after, "@"):
			placeholders++
			filled.WriteString("x")
		case strings.HasPrefix(after, "%"):
			filled.WriteString("%")
		default:
			return 0, fmt.Sprintf("the per cent sign at byte %d begins neither %%@ nor %%%%", len(format)-len(after)), "write %% for a per cent sign, also in escapes: %%20"
		}
		rest = after[1:]
	}
	// The scheme is looked at in the format, since no argument may choose it.
	lower := strings.ToLower(format)
	if !strings.HasPrefix(lower, "https://") && !strings.HasPrefix(lower, "http://") {
		return placeholders, "it does not begin with https:// or http://", "write the whole address, such as https://www.example.com/%@"
	}
	if u, err := url.Parse(filled.String()); err != nil || u.Hostname() == "" || strings.ContainsAny(filled.String(), " <>\"\\^`{|}") {
		return placeholders, "it is no URL when its placeholders are filled", "write an address such as https://www.example.com/%@/?flight=%@"
	}
	return placeholders, "", ""
}

// Placeholders returns how many %@ a urlFormatString has, and so how many
// url-args each notification needs. The error is *[Error].
func Placeholders(urlFormatString string) (int, error) {
	n, problem, fix := parseFormat(urlFormatString)
	if problem != "" {
		return 0, &Error{[]Problem{{key("urlFormatString"), problem, fix}}}
	}
	return n, nil
}

// CheckURLArgs says whether a notification for a website has as many url-args as
// its urlFormatString has placeholders. With any other number, or without the
// key, Safari shows nothing and nobody hears of it. payload is the JSON that goes
// to APNs. The error is *[Error]; its paths are JSON pointers into the payload.
func CheckURLArgs(urlFormatString string, payload []byte) error {
	want, err := Placeholders(urlFormatString)
	if err != nil {
		return err
	}
	const path = "/aps/url-args"
	var found problems
	aps, problem := member(payload, "aps")
	if problem != "" {
		found.add("/aps", problem, `send {"aps":{"alert":{"title":"…","body":"…"},"url-args":[…]}}`)
		return found.err()
	}
	args, problem := member(aps, "url-args")
	if problem != "" {
		found.add(path, problem, "send an array with one string for each %@, or an empty one")
		return found.err()
	}
	var texts []any
	if args[0] != '[' || json.Unmarshal(args, &texts) != nil {
		found.add(path, "it is not an array", "send an array with one string for each %@, or an empty one")
		return found.err()
	}
	for i, text := range texts {
		if _, ok := text.(string); !ok {
			found.add(fmt.Sprintf("%s/%d", path, i), "it is not a string", "")
		}
	}
	if len(texts) != want {
		found.add(path, fmt.Sprintf("it has %s, and urlFormatString has %s", counted(len(texts), "argument"), counted(want, "placeholder")), "send one string for each %@, in order")
	}
	return found.err()
}

// member returns one member of a JSON object.
func member(object []byte, name string) (value json.RawMessage, problem string) {
	members, err := bundle.ParseObject(object)
	if err != nil {
		return nil, err.Error()
	}
	for _, m := range members {
		if m.Name == name && value != nil {
			return nil, "it is there twice"
		}
		if m.Name == name {
			value = m.Value
		}
	}
	if value == nil {
		return nil, "it is missing"
	}
	return value, ""
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
