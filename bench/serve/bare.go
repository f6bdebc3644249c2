package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
)

// bareVariable makes a process of this program a server that does nothing.
const bareVariable = "AVISO_BENCH_SERVE_BARE"

// bare is net/http alone: it reads a request and answers as long a text as aviso
// does, so what it costs no server on net/http can go below.
type bare struct {
	process *process
	url     string
}

// bareAnswer has the length of a receipt for one device token.
var bareAnswer = []byte(`{"id":"` + strings.Repeat("-", 230) + "\"}\n")

// serveBare is that server's process. It counts what it was asked, and ends with
// its input.
func serveBare() error {
	addr, err := freePort()
	if err != nil {
		return err
	}
	var n atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		n.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		w.Write(bareAnswer)
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, n.Load()) })
	failed := make(chan error, 1)
	go func() { failed <- http.ListenAndServe(addr, mux) }()
	fmt.Println(addr)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		failed <- nil
	}()
	return <-failed
}

func startBare(ctx context.Context) (*bare, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), bareVariable+"=1")
	b := &bare{}
	var out *bufio.Reader
	if b.process, out, err = start(cmd); err != nil {
		return nil, err
	}
	line, err := out.ReadString('\n')
	if err == nil {
		b.url = "http://" + strings.TrimSpace(line)
		_, err = waitFor(ctx, b.process, b.url)
	}
	if err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

func (b *bare) name() string       { return "net/http that does nothing" }
func (b *bare) proc() *process     { return b.process }
func (b *bare) others() []*process { return nil }
func (b *bare) stop()              { b.process.end(syscall.SIGKILL) }

func (b *bare) request(from, n int) (*http.Request, error) {
	return (&aviso{url: b.url, key: strings.Repeat("k", 40)}).request(from, n)
}

// settled counts requests, so that it has one way only.
func (b *bare) settled(ctx context.Context) (n int64, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = fmt.Fscan(resp.Body, &n)
	return n, err
}
