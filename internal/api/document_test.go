package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"aviso.example/internal/message"
)

// document is what tests need of an OpenAPI document.
type document struct {
	OpenAPI string                                `json:"openapi"`
	Info    struct{ Version string }              `json:"info"`
	Paths   map[string]map[string]json.RawMessage `json:"paths"`
}

// Every route is documented, every documented route is there, and every
// reference leads somewhere.
func TestDocument(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for path, version := range map[string]string{"/openapi.json": "3.1", "/openapi-3.0.json": "3.0"} {
		a := r.do("GET", path, "")
		var d document
		if err := json.Unmarshal([]byte(a.text), &d); err != nil || a.Header.Get("Content-Type") != "application/openapi+json" {
			t.Fatal(err, a.Header)
		}
		if !strings.HasPrefix(d.OpenAPI, version) || d.Info.Version != "test" {
			t.Errorf("%s: %s, %s", path, d.OpenAPI, d.Info.Version)
		}
		var documented []string
		for path, methods := range d.Paths {
			for method, text := range methods {
				documented = append(documented, strings.ToUpper(method)+" "+path)
				var op struct {
					OperationID, Summary string
					Tags                 []string
				}
				if json.Unmarshal(text, &op) != nil || op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 {
					t.Errorf("%s %s: %+v", method, path, op)
				}
			}
		}
		routes := slices.Sorted(slices.Values(r.mux.patterns))
		if slices.Sort(documented); !slices.Equal(documented, routes) {
			t.Errorf("documented:\n%s\nroutes:\n%s", strings.Join(documented, "\n"), strings.Join(routes, "\n"))
		}
		var whole struct {
			Components struct{ Schemas map[string]any }
		}
		if err := json.Unmarshal([]byte(a.text), &whole); err != nil {
			t.Fatal(err)
		}
		for _, ref := range regexp.MustCompile(`"\$ref":"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(a.text, -1) {
			if whole.Components.Schemas[ref[1]] == nil {
				t.Errorf("%s: %s leads nowhere", path, ref[0])
			}
		}
		for _, word := range []string{"$schema", "unpkg", "http://", "stoplight"} {
			if strings.Contains(a.text, word) {
				t.Errorf("%s has %q", path, word)
			}
		}
	}
	for _, path := range []string{"/docs", "/schemas/Problem.json", "/openapi.yaml"} {
		r.wantProblem(r.do("GET", path, ""), &notFound)
	}
}

// The keys in the document are those that are read.
func TestDocumentedKeys(t *testing.T) {
	notification := slices.DeleteFunc(message.Keys(), func(k string) bool { return k == "id" || k == "to" })
	own := slices.Collect(maps.Keys(ownKeys))
	want := slices.Sorted(slices.Values(slices.Concat(notification, own, []string{"to"})))
	if got := slices.Sorted(maps.Keys(messageSchema().Properties)); !slices.Equal(got, want) {
		t.Errorf("message: %v, want %v", got, want)
	}
	w := newWords(inLine, message.Line)
	for name, k := range ownKeys {
		if _, in := lineSchema().Properties[name]; in != (w.misplaced(k) == "") {
			t.Errorf("line: %q is documented: %v", name, in)
		}
	}
	w.scope = inDefaults
	for name, k := range ownKeys {
		if _, in := defaultsSchema().Properties["defaults"].Properties[name]; in != (w.misplaced(k) == "") {
			t.Errorf("defaults: %q is documented: %v", name, in)
		}
	}
}

// holds says what a schema has against a text.
func (r *rig) holds(s *huma.Schema, text string) []error {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return []error{err}
	}
	res := &huma.ValidateResult{}
	huma.Validate(r.huma.OpenAPI().Components.Schemas, s, huma.NewPathBuffer([]byte{}, 0), huma.ModeWriteToServer, v, res)
	return res.Errors
}

func prepare(s *huma.Schema) *huma.Schema {
	s.PrecomputeMessages()
	return s
}

// The examples are accepted, and the schema says so too; what the schema refuses
// is refused.
func TestDocumentedExamples(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.pause()
	schema := prepare(messageSchema())
	for name, example := range exampleMessages {
		body := toJSON(example.Value)
		if errs := r.holds(schema, body); errs != nil {
			t.Errorf("%s: %v", name, errs)
		}
		r.post(body)
	}
	for _, body := range []string{
		`{"to":"aa","title":"x","badge":3}`, `{"to":"aa","title":"x","badge":"clear"}`, `{"to":["aa",{"device_token":"bb"}],"title":"x","priority":5}`,
		`{"to":{"device_token":"aa","registered_at":1800000000},"title":"x","expiration":"2030-01-31T12:00:00Z"}`,
	} {
		if errs := r.holds(schema, body); errs != nil {
			t.Errorf("%s: %v", body, errs)
		}
		r.post(body)
	}
	for _, body := range []string{
		`{"title":"x"}`, `{"to":[],"title":"x"}`, `{"to":"xyz","title":"x"}`, `{"to":7,"title":"x"}`, `{"to":"aa","titel":"x"}`, `{"to":"aa","title":7}`,
		`{"to":"aa","title":"x","badge":-1}`, `{"to":"aa","title":"x","priority":7}`, `{"to":"aa","title":"x","push_type":"silent"}`, `{"to":"aa","title":"x","lane":"fast"}`,
		`{"to":{"token":"aa"},"title":"x"}`, `{"to":"aa","title":"x","send_at":"soon"}`, `{"to":"aa","title":"x","mutable_content":1}`, `{"to":"aa","payload":"{}"}`,
		`{"to":"aa","title":"x","on_unknown":"retry"}`, `{"to":"aa","title":"x","id":"0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7f"}`,
	} {
		if errs := r.holds(schema, body); errs == nil {
			t.Errorf("the schema takes %s", body)
		}
		r.wantProblem(r.do("POST", "/v1/messages", body), &invalidRequest)
	}
	// The batch: its first line is the defaults.
	texts := strings.Split(strings.TrimSpace(exampleBatch), "\n")
	if errs := r.holds(prepare(defaultsSchema()), texts[0]); errs != nil {
		t.Error(errs)
	}
	for _, text := range texts[1:] {
		if errs := r.holds(prepare(lineSchema()), text); errs != nil {
			t.Errorf("%s: %v", text, errs)
		}
	}
	var receipt BatchReceipt
	if r.want(r.postBatch("", exampleBatch), 202, &receipt); receipt.Accepted != 2 || receipt.Refused != 0 {
		t.Errorf("%+v", receipt)
	}
}

// answers are held against the schema of their operation.
func TestDocumentedAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	receipt := r.do("POST", "/v1/messages", `{"to":["`+r.apple.DeviceToken+`","xyz"],"title":"x"}`)
	var m MessageReceipt
	r.want(receipt, 202, &m)
	r.waitMessage(m.ID)
	batch := r.postBatch("", "{\"defaults\":{\"title\":\"x\"}}\n{\"to\":\"aa\"}\n{}\n")
	var b BatchReceipt
	r.want(batch, 202, &b)
	r.waitBatch(b.ID)
	schemas := r.huma.OpenAPI().Components.Schemas
	check := func(name, text string) {
		t.Helper()
		if schemas.Map()[name] == nil {
			t.Fatalf("no schema %s", name)
		}
		if errs := r.holds(schemas.Map()[name], text); errs != nil {
			t.Errorf("%s: %v in %s", name, errs, text)
		}
	}
	check("MessageReceipt", strings.ReplaceAll(receipt.text, "null", `"x"`)) // which huma's validator cannot do in arrays
	check("BatchReceipt", batch.text)
	for path, name := range map[string]string{
		"/v1/messages/" + m.ID: "Message", "/v1/messages/" + m.ID + "/deliveries": "Deliveries", "/v1/deliveries/" + *m.Deliveries[0]: "Delivery",
		"/v1/deliveries": "Deliveries", "/v1/batches": "Batches", "/v1/batches/" + b.ID: "Batch", "/v1/apps": "Apps", "/v1/apps/shop": "App", "/v1/status": "Status",
		"/v1/dead-tokens": "DeadTokens", "/v1/dead-letters": "DeadLetters", "/readyz?verbose": "Health", "/v1/problems/busy": "Kind",
	} {
		check(name, r.do("GET", path, "").text)
	}
	check("Problem", r.do("GET", "/v1/deliveries?limit=0", "").text)
}

func TestWords(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var all struct{ Problems []kind }
	r.get("/v1/problems", &all)
	if len(all.Problems) != len(kinds) {
		t.Errorf("%d of %d", len(all.Problems), len(kinds))
	}
	for _, k := range all.Problems {
		var one kind
		if r.get("/v1/problems/"+k.Kind, &one); one != k || one.Meaning == "" {
			t.Errorf("%+v, %+v", one, k)
		}
	}
	r.wantProblem(r.do("GET", "/v1/problems/none", ""), &notFound)
	var reasons struct{ Reasons []map[string]any }
	if r.get("/v1/reasons", &reasons); len(reasons.Reasons) < 30 || reasons.Reasons[0]["advice"] == "" {
		t.Errorf("%+v", reasons)
	}
}

// docs/api.md names no route that does not exist, and its requests are answered
// as it says.
func TestDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	commands := curlCommands(t, string(text))
	if len(commands) < 10 {
		t.Errorf("only %d commands were found", len(commands))
	}
	variables := map[string]string{"AVISO_SERVER": r.url, "AVISO_API_KEY": r.key}
	for _, c := range commands {
		req, answerTo := c.request(t, variables)
		resp := r.send(req)
		if resp.StatusCode >= 400 {
			t.Errorf("%s: %d %s", c.text, resp.StatusCode, resp.text)
		}
		answerTo(resp)
	}
	for _, path := range regexp.MustCompile("`(GET|POST|PATCH|DELETE) (/[^`? ]*)").FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(r.mux.patterns, path[1]+" "+path[2]) {
			t.Errorf("docs/api.md speaks of %s %s, which is no route", path[1], path[2])
		}
	}
	for _, pattern := range r.mux.patterns {
		method, path, _ := strings.Cut(pattern, " ")
		if _, verb, ok := strings.Cut(path, "}:"); ok {
			path = ":" + verb
		}
		if method != http.MethodGet && !strings.Contains(string(text), path) {
			t.Errorf("docs/api.md does not mention %s", pattern)
		}
	}
}
