package sim

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// checkQuery refuses a query that cannot be read, or that has other parameters than
// those that are known, or one that is empty or there twice.
func checkQuery(r *http.Request, known []string) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return problem(http.StatusBadRequest, "the query cannot be parsed")
	}
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		v := values[name]
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			wrong = append(wrong, fmt.Sprintf("unknown parameter %q; there is none here", name))
		case !slices.Contains(known, name):
			wrong = append(wrong, fmt.Sprintf("unknown parameter %q; there are %s", name, strings.Join(known, ", ")))
		case len(v) > 1:
			wrong = append(wrong, fmt.Sprintf("parameter %q is there twice", name))
		case v[0] == "":
			wrong = append(wrong, fmt.Sprintf("parameter %q is empty; leave it out", name))
		case !utf8.ValidString(v[0]):
			wrong = append(wrong, fmt.Sprintf("parameter %q is not UTF-8", name))
		}
	}
	if len(wrong) > 0 {
		return problem(http.StatusBadRequest, "%s", strings.Join(wrong, "; "))
	}
	return nil
}

// checkNoBody refuses a body that says something where nobody would read it. Some
// clients send an empty object with every POST.
func checkNoBody(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyProblem(err)
	}
	if body = bytes.TrimSpace(body); len(body) > 0 && string(body) != "{}" {
		return problem(http.StatusBadRequest, "%s takes no body here", r.Method)
	}
	return nil
}

// query reads the values of a query that checkQuery has let through.
type query struct {
	values url.Values
	err    error
}

func readQuery(r *http.Request) *query { return &query{values: r.URL.Query()} }

// wrong notes what is wrong with a value, beside what is wrong with others.
func (q *query) wrong(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if q.err != nil {
		text = q.err.Error() + "; " + text
	}
	q.err = problem(http.StatusBadRequest, "%s", text)
}

func (q *query) number(name string, usual, most uint64) uint64 {
	text := q.values.Get(name)
	if text == "" {
		return usual
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		q.wrong("parameter %q must be a number from 0 to %d", name, most)
	}
	return n
}

func (q *query) duration(name string, most time.Duration) time.Duration {
	text := q.values.Get(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > most {
		q.wrong("parameter %q must be a duration such as 5s, at most %v", name, most)
	}
	return d
}
