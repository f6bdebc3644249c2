package api

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// examplePaths are paths of the patterns.
func examplePath(path string) string {
	return strings.NewReplacer("{id}", "x", "{kind}", "busy", "{number}", "1").Replace(path)
}

// operations calls f with each operation of the document.
func (r *rig) operations(f func(op *huma.Operation)) {
	for _, item := range r.huma.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				f(op)
			}
		}
	}
}

// On every route a query that is not understood is refused, before anything is done.
func TestEveryRouteRefusesStrangeQueries(t *testing.T) {
	r := newRig(t)
	r.pause()
	count := 0
	r.operations(func(op *huma.Operation) {
		count++
		path := examplePath(op.Path)
		fields := []string{"Content-Type", "application/x-ndjson"}
		if op.Path == "/v1/messages" {
			fields[1] = "application/json"
		}
		body := ""
		if op.Method != http.MethodGet {
			body = `{"to":"aa","title":"x"}`
		}
		for query, words := range map[string]string{
			"x=1;y=2": "semicolon", "paused=true%": "%25", "label=50%": "%25", "a=%zz": "%25", "%": "%25", ";": "semicolon",
			"limit=5;": "semicolon", "a=%f": "%25",
		} {
			r.wantProblem(r.do(op.Method, path+"?"+query, body, fields...), &malformedQuery, words)
		}
		for _, query := range []string{"zebra=1", "zebra", "=1", "zebra=1&zebra=2", "%FF=1", "zebra[]=1"} {
			p := r.wantProblem(r.do(op.Method, path+"?"+query, body, fields...), &invalidRequest, unknownParameter)
			if len(p.Errors) != 1 {
				t.Errorf("%s %s?%s: %v", op.Method, path, query, p.Errors)
			}
		}
		for _, param := range op.Parameters {
			if param.In == "query" {
				r.strangeParameter(op, path, param, body, fields)
			}
		}
	})
	if count != len(r.mux.patterns) {
		t.Errorf("%d operations, %d patterns", count, len(r.mux.patterns))
	}
	var list Batches
	if r.get("/v1/batches", &list); len(list.Batches) > 0 {
		t.Errorf("%+v", list)
	}
}

func (r *rig) strangeParameter(op *huma.Operation, path string, param *huma.Param, body string, fields []string) {
	r.t.Helper()
	name := param.Name
	wrong := map[string]string{name + "=%FF": "not UTF-8"}
	if !param.AllowEmptyValue {
		wrong[name+"="], wrong[name] = "is empty", "is empty"
	}
	if param.Explode == nil || !*param.Explode {
		wrong[name+"=1&"+name+"=1"], wrong[name+"=&"+name+"="] = "is there twice", "is there twice"
	}
	for query, words := range wrong {
		p := r.wantProblem(r.do(op.Method, path+"?"+query, body, fields...), &invalidRequest, `"`+name+`" `, words)
		if len(p.Errors) != 1 {
			r.t.Errorf("%s %s?%s: %v", op.Method, path, query, p.Errors)
		}
		// One wrong parameter hides no other.
		p = r.wantProblem(r.do(op.Method, path+"?zebra=1&"+query, body, fields...), &invalidRequest, words, "zebra")
		if len(p.Errors) != 2 {
			r.t.Errorf("%s %s?zebra=1&%s: %v", op.Method, path, query, p.Errors)
		}
	}
	s := param.Schema
	if s.Type == huma.TypeString && s.Enum == nil && (s.MinLength == nil || *s.MinLength != 1) || s.Type == huma.TypeArray && (s.MinItems == nil || *s.MinItems != 1) {
		r.t.Errorf("%s: the document lets %s be empty", op.OperationID, name)
	}
}

// What the values of parameters have to be, all at once.
func TestWrongParameters(t *testing.T) {
	r := newRig(t)
	for query, want := range map[string][]string{
		"/v1/deliveries?limit=0&stat=x":                               {`"limit" expected number >= 1`, `did you mean "state"?`},
		"/v1/deliveries?limit=1e9&before=soon&state=":                 {`"limit" has to be a whole number`, `"before" has to be a time like`, `"state" is empty`},
		"/v1/deliveries?limit=05&after=2030-01-31T12:00:00+02:00":     {`"limit" has to be a whole number`, "%2B"},
		"/v1/deliveries?limit=null&state=accepted,&reason=x&reason=y": {`"limit" has to be a whole number`, `"state[1]" expected value`, `"reason" is there twice`},
		"/v1/deliveries?state=accepted&state=rejected":                {`"state" is there twice; separate its values by commas`},
		"/v1/deliveries?limit=true&app=" + strings.Repeat("x", 50):    {`"limit" has to be a whole number`, `"app" expected length <= 40`},
		"/readyz?verbose=2":     {`"verbose" expected value to be one of`},
		"/metrics?limit=1":      {`"limit" unknown query parameter`},
		"/v1/batches?limit=1.5": {`"limit" has to be a whole number`},
	} {
		p := r.wantProblem(r.do("GET", query, ""), &invalidRequest, want...)
		if len(p.Errors) != strings.Count(query, "=")-strings.Count(query, "reason=y")-strings.Count(query, "&state=rejected") {
			t.Errorf("%s: %v", query, p.Errors)
		}
	}
	r.wantProblem(r.postBatch("?paused=1&rate=0x10&label=&lane=slow&zebra=1", "{}"), &invalidRequest,
		`"paused" has to be true or false`, `"rate" has to be a number`, `"label" is empty`, `"lane" has to be`, "zebra")
	for _, path := range []string{
		"/readyz?verbose", "/readyz?verbose=", "/readyz?verbose=true", "/readyz?verbose=false", "/metrics?name[]=go_info&name[]=aviso_up", "/v1/deliveries?state=accepted,rejected",
		"/v1/deliveries?after=2020-01-31T12:00:00%2B02:00&before=2030-01-31T12:00:00Z", "/v1/deliveries?&limit=5&", "/v1/batches?limit=10",
	} {
		if a := r.do("GET", path, ""); a.StatusCode != 200 {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.text)
		}
	}
	if a := r.do("GET", "/metrics?name[]=aviso_up", ""); strings.Contains(a.text, "go_info") || !strings.Contains(a.text, "aviso_up") {
		t.Error(a.text)
	}
}

// The bodies that say a note or a number are as strict as those of messages.
func TestStrangeBodies(t *testing.T) {
	r := newRig(t)
	r.pause()
	var batch BatchReceipt
	r.want(r.postBatch("", lines(`{"title":"x"}`, 0, 1)), 202, &batch)
	pause, pace, resume := "/v1/apps/shop:pause", "/v1/batches/"+batch.ID, "/v1/apps/shop:resume"
	for _, test := range []struct {
		method, path, body string
		k                  *kind
		fields             []string
	}{
		{"POST", pause, `{"note":null}`, &invalidRequest, []string{"note"}},
		{"POST", pause, `{"note":null,"nte":1}`, &invalidRequest, []string{"note", "nte"}},
		{"POST", pause, `{"note":"a","note":"b"}`, &invalidRequest, []string{"note"}},
		{"POST", pause, `{"note":"cut \ud83d"}`, &invalidRequest, []string{"note"}},
		{"POST", pause, "{\"note\":\"caf\xe9\"}", &invalidRequest, []string{"note"}},
		{"POST", pause, `{"note":["a"]}`, &invalidRequest, []string{"note"}},
		{"POST", pause, `null`, &invalidRequest, []string{""}},
		{"POST", pause, `[]`, &invalidRequest, []string{""}},
		{"POST", pause, `{"note":"a"`, &malformedBody, []string{""}},
		{"POST", pause, `{"note":"a"}{}`, &malformedBody, []string{""}},
		{"POST", pause, `{"note":"` + strings.Repeat("x", maxControlBody) + `"}`, &bodyTooLarge, nil},
		{"POST", resume, `{"note":"a"}`, &invalidRequest, []string{"note"}},
		{"POST", resume, `x`, &malformedBody, []string{""}},
		{"POST", pace + ":pause", `{"note":"a","x":null}`, &invalidRequest, []string{"note", "x"}},
		{"DELETE", "/v1/dead-letters/1", `{"all":true}`, &invalidRequest, []string{"all"}},
		{"PATCH", pace, `{"rate":null}`, &invalidRequest, []string{"rate"}},
		{"PATCH", pace, `{"rate":"5","rat":5}`, &invalidRequest, []string{"rat", "rate"}},
		{"PATCH", pace, `{"rate":5,"rate":6}`, &invalidRequest, []string{"rate"}},
		{"PATCH", pace, `{"rate":1e999}`, &invalidRequest, []string{"rate"}},
		{"PATCH", pace, `{"rate":1e300}`, &invalidRequest, []string{"rate"}},
		{"PATCH", pace, `{"rate":-1}`, &invalidRequest, []string{"rate"}},
		{"PATCH", pace, `{}`, &invalidRequest, []string{"rate"}},
		{"PATCH", pace, ``, &malformedBody, nil},
	} {
		p := r.wantProblem(r.do(test.method, test.path, test.body), test.k)
		if got := fieldsOf(p.Errors); !slices.Equal(got, test.fields) {
			t.Errorf("%s %s %.50s: %q, want %q: %v", test.method, test.path, test.body, got, test.fields, p.Errors)
		}
	}
	for _, test := range [][3]string{{"POST", pause, `{"note":"x"}`}, {"POST", pause, ``}, {"POST", pause, `{}`}, {"POST", pause, " {} \n"}, {"POST", resume, `{}`}, {"PATCH", pace, `{"rate":5}`}} {
		if a := r.do(test[0], test[1], test[2]); a.StatusCode != 200 {
			t.Errorf("%s: %d %s", test, a.StatusCode, a.text)
		}
	}
}

// A cursor has one text.
func TestCursorsAreExact(t *testing.T) {
	text := verdictCursor.text(300, 2)
	var record, skip uint64
	if p := verdictCursor.read("cursor", text, &record, &skip); p != nil || record != 300 || skip != 2 {
		t.Fatalf("%v, %d %d", p, record, skip)
	}
	for _, wrong := range []string{text + "\n", text[:2] + "\r\n" + text[2:], text + "=", text[:len(text)-1], text + "A", messageCursor.text(300, 2), verdictCursor.text(300), verdictCursor.text(300, 2, 1)} {
		if p := verdictCursor.read("cursor", wrong, &record, &skip); p == nil {
			t.Errorf("%q was taken for %q", wrong, text)
		}
	}
}

// FuzzQuery: whatever is asked for, the answer is a list or a problem.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"limit=5", "a;b", "%", "state=accepted,rejected&limit=1e9", "after=2030-01-31T12:00:00Z", "cursor=%00", "&&=&", "limit=5&limit=6", "app=%ff"} {
		f.Add(seed)
	}
	r := newRig(f)
	form := r.mux.forms["GET /v1/deliveries"]
	f.Fuzz(func(t *testing.T, query string) {
		p := form.checkQuery(query)
		if p != nil && (p.Status != 422 && p.Status != 400 || len(p.Errors) == 0 && p.Detail == "") {
			t.Errorf("%q: %+v", query, p)
		}
	})
}
