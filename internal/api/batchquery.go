package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"

	"aviso.example/apns"
	"aviso.example/engine"
)

// batchQuery is what the query of POST /v1/batches says.
type batchQuery struct {
	app         string
	environment *apns.Environment
	lane        *engine.Lane
	label       string
	rate        float64
	paused      bool
}

// maxLabel is the engine's limit for BatchConfig.Label, and maxRate more than any
// APNs takes.
const (
	maxLabel = 200
	maxRate  = 1e9
)

// read reads the parameters that the document has, and lists all that is wrong with
// their values.
func (q *batchQuery) read(values url.Values) (problems []FieldProblem) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if why := q.set(name, values.Get(name)); why != "" {
			problems = append(problems, FieldProblem{name, why})
		}
	}
	return problems
}

// batchQueryProblems are in the words of read.
func (a *API) batchQueryProblems(values url.Values) []FieldProblem {
	var q batchQuery
	problems := q.read(values)
	if q.app != "" {
		if _, why := a.findApp(q.app); why != "" {
			problems = append(problems, FieldProblem{"app", why})
		}
	}
	return problems
}

// set takes one parameter and says what is wrong with it, or "".
func (q *batchQuery) set(name, value string) (why string) {
	switch name {
	case "app":
		q.app = value
	case "environment":
		var e apns.Environment
		e, why = readEnvironment(value)
		q.environment = &e
	case "lane":
		var l engine.Lane
		l, why = readLane(value)
		q.lane = &l
	case "label":
		q.label = value
		if len(value) > maxLabel {
			return fmt.Sprintf("has %d bytes; the limit is %d", len(value), maxLabel)
		}
	case "rate":
		rate, err := strconv.ParseFloat(value, 64)
		if err != nil || !json.Valid([]byte(value)) || !(rate >= 0 && rate <= maxRate) {
			return "has to be a number of notifications a second; 0 means as fast as APNs takes them"
		}
		q.rate = rate
	case "paused":
		q.paused = value == "true"
		if value != "true" && value != "false" {
			return "has to be true or false"
		}
	}
	return why
}
