package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"aviso.example/internal/suggest"
)

// mux is http.ServeMux with verbs, as in POST /v1/batches/{id}:pause, and with
// problems for paths and methods that do not exist, and for requests that have not
// the form that the document says.
type mux struct {
	*http.ServeMux
	patterns []string
	// forms are those of the patterns, which have to be there first.
	forms map[string]*form
	// verbs are the handlers of a path with a verb, by the pattern without it.
	verbs map[string]map[string]http.HandlerFunc
}

func newMux() *mux {
	m := &mux{ServeMux: http.NewServeMux(), forms: map[string]*form{}, verbs: map[string]map[string]http.HandlerFunc{}}
	m.ServeMux.HandleFunc("/", m.nothing)
	return m
}

// HandleFunc takes the patterns of http.ServeMux, and those that end in a
// wildcard, a colon and a verb.
func (m *mux) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	m.patterns = append(m.patterns, pattern)
	form := m.forms[pattern]
	if form == nil {
		panic("api: the document says nothing about " + pattern)
	}
	h := func(w http.ResponseWriter, r *http.Request) {
		if p := form.check(w, r); p != nil {
			p.write(w, r)
			return
		}
		handler(w, r)
	}
	base, verb, found := strings.Cut(pattern, "}:")
	if !found {
		m.ServeMux.HandleFunc(pattern, h)
		return
	}
	base += "}"
	if m.verbs[base] == nil {
		m.verbs[base] = map[string]http.HandlerFunc{}
		wildcard := base[strings.LastIndexByte(base, '{')+1 : len(base)-1]
		m.ServeMux.HandleFunc(base, func(w http.ResponseWriter, r *http.Request) { m.verb(w, r, base, wildcard) })
	}
	m.verbs[base][verb] = h
}

func (m *mux) verb(w http.ResponseWriter, r *http.Request, base, wildcard string) {
	value := r.PathValue(wildcard)
	at := strings.LastIndexByte(value, ':')
	if at < 0 {
		m.nothing(w, r)
		return
	}
	h, verb := m.verbs[base][value[at+1:]], value[at+1:]
	if h == nil {
		all := slices.Sorted(maps.Keys(m.verbs[base]))
		newProblem(&notFound, fmt.Sprintf("this cannot be done here%s; there is :%s", suggest.Hint(verb, all), strings.Join(all, ", :"))).write(w, r)
		return
	}
	r.SetPathValue(wildcard, value[:at])
	r.Pattern = base + ":" + verb
	h(w, r)
}

// nothing answers for what is not there, and says which methods are.
func (m *mux) nothing(w http.ResponseWriter, r *http.Request) {
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		other := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		_, pattern := m.Handler(other)
		if pattern == "/" || pattern == "" || method == r.Method {
			continue
		}
		if m.verbs[pattern] != nil && !strings.Contains(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/'):], ":") {
			continue
		}
		allow = append(allow, method)
	}
	if len(allow) == 0 {
		newProblem(&notFound, "there is no such path; GET /openapi.json lists all").write(w, r)
		return
	}
	p := newProblem(&wrongMethod, "use "+strings.Join(allow, " or "))
	p.allow = strings.Join(allow, ", ")
	p.write(w, r)
}
