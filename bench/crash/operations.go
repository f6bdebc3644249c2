package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// operation is one of the API's, as its document tells.
type operation struct{ id, method, path string }

// operations are all that the document has, and which of them each row called.
// Rows name an operation and get method and path from here, so that none can be
// noted that was not called.
type operations struct {
	byID map[string]operation

	mu   sync.Mutex
	used map[string]map[string]bool // by row
}

// parseOperations reads an OpenAPI document.
func parseOperations(document []byte) (*operations, error) {
	var d struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(document, &d); err != nil {
		return nil, err
	}
	o := &operations{byID: map[string]operation{}, used: map[string]map[string]bool{}}
	for path, methods := range d.Paths {
		for method, text := range methods {
			var named struct {
				OperationID string `json:"operationId"`
			}
			// What is no operation stands beside them: parameters, a summary.
			if json.Unmarshal(text, &named) == nil && named.OperationID != "" {
				o.byID[named.OperationID] = operation{named.OperationID, strings.ToUpper(method), path}
			}
		}
	}
	if len(o.byID) == 0 {
		return nil, errorf("the API's document has no operations")
	}
	return o, nil
}

// changing are the operations that change something, sorted.
func (o *operations) changing() (list []string) {
	for id, op := range o.byID {
		if op.method != http.MethodGet && op.method != http.MethodHead {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

func (o *operations) note(row, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.used[row] == nil {
		o.used[row] = map[string]bool{}
	}
	o.used[row][id] = true
}

// untouched are the operations that a row says it calls and has not called.
func (o *operations) untouched(r *row) (list []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range r.calls {
		if !o.used[r.name][id] {
			list = append(list, id)
		}
	}
	return list
}

// unproven are the operations that change something and that no row has called.
func (o *operations) unproven() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.DeleteFunc(o.changing(), func(id string) bool {
		for used := range maps.Values(o.used) {
			if used[id] {
				return true
			}
		}
		return false
	})
}

// document asks a server that was just built what it can do.
func document(ctx context.Context, o *options) ([]byte, error) {
	r := &rig{row: &row{name: "document"}, o: o, ctx: ctx, dir: filepath.Join(o.dir, "document")}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, err
	}
	if err := r.simulate(); err != nil {
		return nil, err
	}
	defer r.sim.Close()
	if err := r.configure(filepath.Join(r.dir, "data"), "", shop); err != nil {
		return nil, err
	}
	s, err := serve(ctx, o, r.config, filepath.Join(r.dir, "aviso.log"), 0)
	if err != nil {
		return nil, err
	}
	defer s.kill()
	client := newHTTP()
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/openapi.json", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	response, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errorf("GET /openapi.json: %s", response.Status)
	}
	return data, err
}

// caller calls operations for one row.
type caller struct {
	operations *operations
	row        string
	http       *http.Client
}

// reply is an answer of the API.
type reply struct {
	status int
	body   []byte
	// kind is the problem's, "" if it is none.
	kind string
}

func (p reply) ok() bool { return p.status >= 200 && p.status < 300 }

// into reads the body of an answer that is well.
func (p reply) into(out any) error {
	if !p.ok() {
		return errorf("%s", p)
	}
	return json.Unmarshal(p.body, out)
}

func (p reply) String() string {
	return fmt.Sprintf("%d %s", p.status, p.body[:min(len(p.body), 300)])
}

// request is made by whatever has to set more than call does. arg is what stands
// in the path's braces, query begins with a question mark or is empty.
func (c *caller) request(ctx context.Context, server, id, arg, query, kind string, body io.Reader) (reply, error) {
	op, ok := c.operations.byID[id]
	if !ok {
		return reply{}, errorf("the API has no operation %q", id)
	}
	path := op.path
	if before, rest, ok := strings.Cut(path, "{"); ok {
		_, after, _ := strings.Cut(rest, "}")
		path = before + url.PathEscape(arg) + after
	}
	req, err := http.NewRequestWithContext(ctx, op.method, server+path+query, body)
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	response, err := c.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	p := reply{status: response.StatusCode}
	if p.body, err = io.ReadAll(response.Body); err != nil {
		return reply{}, err
	}
	c.operations.note(c.row, id)
	if !p.ok() {
		var problem struct{ Type string }
		json.Unmarshal(p.body, &problem)
		_, p.kind, _ = strings.Cut(problem.Type, "/v1/problems/")
	}
	return p, nil
}

// call calls an operation with a JSON body, or none if it is nil.
func (c *caller) call(ctx context.Context, server, id, arg string, body any) (reply, error) {
	if body == nil {
		return c.request(ctx, server, id, arg, "", "", nil)
	}
	data, err := json.Marshal(body)
	if err != nil {
		return reply{}, err
	}
	return c.request(ctx, server, id, arg, "", "application/json", bytes.NewReader(data))
}

// get reads what an operation tells.
func (c *caller) get(ctx context.Context, server, id, arg, query string, out any) error {
	p, err := c.request(ctx, server, id, arg, query, "", nil)
	if err != nil {
		return err
	}
	if err := p.into(out); err != nil {
		return fmt.Errorf("%s %s: %w", id, arg, err)
	}
	return nil
}
