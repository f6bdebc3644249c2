package cli

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"aviso.example/engine"
)

// Whoever promises a body and brings none is answered at once where none is read, and
// holds no connection: with a key and without, whatever is asked for.
func TestBodiesThatNeverCome(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("k", 32)
	s, err := startServer(t.Context(), engine.Config{Store: engine.StoreConfig{Dir: t.TempDir()}}, serverOptions{
		listen: "127.0.0.1:0", key: func() (string, error) { return key, nil }, log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop(5 * time.Second) })
	authorized := "Authorization: Bearer " + key + "\r\n"
	const length, chunked = "Content-Length: 1000\r\n", "Transfer-Encoding: chunked\r\n"
	for name, test := range map[string]struct {
		line, fields, sent string
		want               int
	}{
		"no key":               {"POST /v1/messages", length, "", 401},
		"no key, chunked":      {"POST /v1/messages", chunked, "", 401},
		"no key, a part of it": {"POST /v1/messages", length, `{"to":`, 401},
		"no key, a batch":      {"POST /v1/batches?app=shop", chunked, "", 401},
		"wrong key":            {"POST /v1/messages", "Authorization: Bearer x\r\n" + length, "", 401},
		"alive":                {"GET /livez", length, "", 200},
		"alive, chunked":       {"GET /livez", chunked, "", 200},
		"no such page":         {"POST /nothing", authorized + length, "", 404},
		"no such method":       {"PUT /v1/messages", authorized + length, "", 405},
		"another type":         {"POST /v1/messages", authorized + "Content-Type: text/plain\r\n" + length, "", 415},
		"more than it may":     {"POST /v1/messages", authorized + "Content-Type: application/json\r\nContent-Length: 99999999\r\n", "", 413},
		"metrics":              {"GET /metrics", authorized + chunked, "5\r\nhello\r\n", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(30 * time.Second))
			fmt.Fprintf(nc, "%s HTTP/1.1\r\nHost: a\r\n%s\r\n%s", test.line, test.fields, test.sent)
			r := bufio.NewReader(nc)
			response, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != test.want {
				t.Errorf("%s, want %d", response.Status, test.want)
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				t.Error(err)
			}
			if _, err := r.ReadByte(); err == nil {
				t.Error("there is more")
			} else if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Error("the connection is held")
			}
		})
	}
	// A body that comes keeps the connection.
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	for range 3 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/v1/messages", strings.NewReader(`{"app":"shop","to":"aa","title":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+key)
		request.Header.Set("Content-Type", "application/json")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.Close || response.StatusCode != http.StatusUnprocessableEntity && response.StatusCode != http.StatusNotFound {
			t.Errorf("%s, the connection ends: %v", response.Status, response.Close)
		}
	}
}
