package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"aviso.example/internal/api"
)

const (
	// askTimeout bounds one question to the server, which answers when its disk
	// does.
	askTimeout = 30 * time.Second
	// maxAnswer bounds an answer in bytes: a page of a thousand deliveries, each
	// with the longest device token, several times over.
	maxAnswer = 32 << 20
)

// serverTarget says which server to ask, and how to be let in.
type serverTarget struct{ server, keyFile string }

func (t *serverTarget) register(flags *pflag.FlagSet) {
	flags.StringVar(&t.server, "server", "", "the server's `URL` (default "+serverVariable+", or http://"+defaultServer+")")
	flags.StringVar(&t.keyFile, "api-key-file", "", "`FILE` that holds the API key; or set "+apiKeyVariable+" (default aviso-data/"+apiKeyName+" in this folder)")
}

// apiClient asks a server.
type apiClient struct {
	keyFrom   string // where the API key was found
	base, key string
	http      *http.Client
}

// client checks the flags and finds the API key.
func (t *serverTarget) client(a *app) (*apiClient, error) {
	base := cmp.Or(t.server, a.getenv(serverVariable), "http://"+defaultServer)
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, usage("--server has to be a URL like http://%s", defaultServer)
	case u.User != nil:
		return nil, usage("--server has a user, which the server does not know; the API key is enough")
	case u.RawQuery != "" || strings.Trim(u.Path, "/") != "":
		return nil, usage("--server is the URL of the whole server, without a path")
	}
	port := cmp.Or(u.Port(), "80")
	local, err := isLoopback(net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, usage("--server has to be a URL like http://%s", defaultServer)
	}
	c := &apiClient{base: strings.TrimRight(base, "/")}
	if c.key, c.keyFrom, err = t.apiKey(a, local); err != nil {
		return nil, err
	}
	if u.Scheme == "http" && !local {
		a.warnf("the API key travels to %s readable by everybody on the way; use https", u.Host)
	}
	c.http = newHTTPClient()
	return c, nil
}

func newHTTPClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: time.Second,
		},
		// Nobody gets the API key but the server that was named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// apiKey finds the API key. The one of a server in this folder goes to no other
// machine.
func (t *serverTarget) apiKey(a *app, local bool) (key, from string, err error) {
	if t.keyFile != "" {
		key, err := readAPIKeyFile(t.keyFile)
		if err != nil {
			return "", "", usage("--api-key-file: %w", err)
		}
		return key, t.keyFile, nil
	}
	if key := a.getenv(apiKeyVariable); key != "" {
		if err := checkAPIKey(key); err != nil {
			return "", "", usage("%s %w", apiKeyVariable, err)
		}
		return key, apiKeyVariable, nil
	}
	path := filepath.Join(defaults["data"], apiKeyName)
	if local {
		key, err := readAPIKeyFile(path)
		if err == nil {
			return key, path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", "", usage("%s: %w", path, err)
		}
	}
	return "", "", usage("an API key is needed: give --api-key-file FILE or set %s; a server that made its own keeps it in the file %s in its data folder", apiKeyVariable, apiKeyName)
}

func (c *apiClient) close() { c.http.CloseIdleConnections() }

// refusedError is the server's word that something is wrong.
type refusedError struct {
	api.Problem
	server  string
	keyFrom string // where the API key was found
}

// Error puts all that is wrong into one line.
func (e *refusedError) Error() string {
	text := "the server refuses it: " + e.Title
	if e.Title == "" {
		text = fmt.Sprintf("the server at %s answered with status %d and no explanation; is it an aviso server?", e.server, e.Status)
	}
	if e.Status == http.StatusUnauthorized && e.Type != "" {
		return fmt.Sprintf("the server at %s does not take the API key of %s: %s", e.server, e.keyFrom, e.Detail)
	}
	if e.Detail != "" && len(e.Errors) == 0 {
		text += ": " + e.Detail
	}
	var list []string
	for _, p := range e.Errors {
		list = append(list, p.String())
	}
	if len(list) > 0 {
		text += ": " + strings.Join(list, "; ")
	}
	return text
}

// exitOf is the exit code of what a server refused, or of one that did not answer.
func exitOf(err error) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*refusedError](err)
	switch {
	case !ok || e.Status >= 500 || e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout:
		return &exitError{ExitUnreachable, err}
	case e.Status == http.StatusNotFound && e.Type != "":
		return &exitError{ExitRejected, err}
	}
	return &exitError{ExitUsage, err}
}

// ask makes a request with an optional body and reads the answer into out, unless
// that is nil.
func (c *apiClient) ask(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, askTimeout, fmt.Errorf("no answer within %v", askTimeout))
	defer cancel()
	var body io.Reader
	kind := ""
	if in != nil {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(in); err != nil {
			return err
		}
		body, kind = &b, "application/json"
	}
	return c.send(ctx, method, path, kind, body, out)
}

// send is ask for bodies of other kinds and without a limit of time.
func (c *apiClient) send(ctx context.Context, method, path, kind string, body io.Reader, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return c.unreachable(ctx, err)
	}
	if res.StatusCode >= 300 {
		refused := &refusedError{server: c.base, keyFrom: c.keyFrom}
		if json.Unmarshal(answer, &refused.Problem) != nil || !strings.HasPrefix(refused.Type, "/v1/problems/") {
			refused.Problem = api.Problem{} // somebody else's
		}
		refused.Status = res.StatusCode
		return refused
	}
	if out == nil {
		return nil
	}
	if raw, ok := out.(*json.RawMessage); ok {
		*raw = answer
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("the answer of the server at %s cannot be read: %w; is it an aviso server of another version?", c.base, err)
	}
	return nil
}

// unreachable says why there was no answer, in words of this command.
func (c *apiClient) unreachable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	hint := ""
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		hint = "; is `aviso serve` running there?"
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	return fmt.Errorf("no answer from the server at %s: %w%s", c.base, err, hint)
}
