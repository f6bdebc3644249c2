package api

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"

	"aviso.example/apns"
	"aviso.example/engine"
	"aviso.example/internal/suggest"
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

var batchParameters = []string{"app", "environment", "label", "lane", "paused", "rate"}

// maxLabel is the engine's limit for BatchConfig.Label.
const maxLabel = 200

// readBatchQuery reads the query, and lists all that is wrong with it.
func readBatchQuery(values url.Values) (*batchQuery, *Problem) {
	q := &batchQuery{}
	var problems []FieldProblem
	for _, name := range slices.Sorted(maps.Keys(values)) {
		why := ""
		if len(values[name]) > 1 {
			why = "is there twice"
		} else {
			why = q.set(name, values.Get(name))
		}
		if why != "" {
			problems = append(problems, FieldProblem{quotable(name), why})
		}
	}
	if len(problems) > 0 {
		return nil, invalid(problems...)
	}
	return q, nil
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
		if err != nil || !(rate >= 0 && rate <= 1e9) {
			return "has to be a number of notifications a second; 0 means as fast as APNs takes them"
		}
		q.rate = rate
	case "paused":
		paused, err := strconv.ParseBool(value)
		if err != nil {
			return "has to be true or false"
		}
		q.paused = paused
	default:
		return "unknown query parameter" + suggest.Hint(name, batchParameters)
	}
	return why
}
