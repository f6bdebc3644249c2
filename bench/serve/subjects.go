package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// devices go round, as many as header compression cannot remember.
const deviceCount = 16384

var devices = func() (list []string) {
	for i := range deviceCount {
		sum := sha256.Sum256(fmt.Append(nil, i))
		list = append(list, hex.EncodeToString(sum[:]))
	}
	return list
}()

func device(i int) string { return devices[i%deviceCount] }

// ownName is what the others are compared with.
const ownName = "aviso serve"

// aviso is our server.
type aviso struct {
	process *process
	url     string
	key     string
	dir     string
	took    time.Duration // until it was ready
}

const avisoConfig = `data: %s
listen: %s
apps:
  bench:
    bundle_id: %s
    environment: sandbox
    key: %s
    key_id: %s
    team: %s
    endpoint: %s
    ca: %s
`

// startAviso starts it in a new folder.
func startAviso(ctx context.Context, binary, dir string, apple *simulator, flags ...string) (*aviso, error) {
	data, err := os.MkdirTemp(dir, "data-")
	if err != nil {
		return nil, err
	}
	return startAvisoIn(ctx, binary, data, apple, flags...)
}

func startAvisoIn(ctx context.Context, binary, data string, apple *simulator, flags ...string) (*aviso, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(data, "aviso.yaml")
	text := fmt.Sprintf(avisoConfig, filepath.Join(data, "queue"), addr, topic, apple.keyFile, keyID, teamID, apple.addr, apple.caFile)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	s := &aviso{url: "http://" + addr, dir: data}
	var out io.Reader
	if s.process, out, err = start(exec.Command(binary, append([]string{"serve", "--config", config}, flags...)...)); err != nil {
		return nil, err
	}
	go io.Copy(io.Discard, out)
	if s.took, err = waitFor(ctx, s.process, s.url+"/readyz"); err != nil {
		s.stop()
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(data, "queue", "api-key"))
	s.key = strings.TrimSpace(string(key))
	return s, err
}

func (s *aviso) name() string       { return ownName }
func (s *aviso) proc() *process     { return s.process }
func (s *aviso) others() []*process { return nil }
func (s *aviso) stop()              { s.process.end(syscall.SIGTERM); os.RemoveAll(s.dir) }

func (s *aviso) newRequest(method, path, contentType string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequest(method, s.url+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+s.key)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r, nil
}

func (s *aviso) request(from, n int) (*http.Request, error) {
	var b bytes.Buffer
	b.WriteString(`{"title":"Game Request","body":"Bob wants to play poker","to":`)
	if n == 1 {
		fmt.Fprintf(&b, `"%s"`, device(from))
	} else {
		for i := range n {
			b.WriteString([]string{`,"`, `["`}[btoi(i == 0)])
			b.WriteString(device(from + i))
			b.WriteByte('"')
		}
		b.WriteByte(']')
	}
	b.WriteByte('}')
	return s.newRequest(http.MethodPost, "/v1/messages", "application/json", &b)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// batch makes the request for a batch, whose body is written while it is read.
func (s *aviso) batch(n int) (*http.Request, error) {
	in, out := io.Pipe()
	go func() {
		var b bytes.Buffer
		b.WriteString(`{"defaults":{"title":"Game Request","body":"Bob wants to play poker"}}` + "\n")
		for i := range n {
			b.WriteString(`{"to":"` + device(i) + "\"}\n")
			if b.Len() > 60<<10 {
				if _, err := out.Write(b.Bytes()); err != nil {
					return
				}
				b.Reset()
			}
		}
		out.Write(b.Bytes())
		out.Close()
	}()
	return s.newRequest(http.MethodPost, "/v1/batches", "application/x-ndjson", in)
}

func (s *aviso) get(ctx context.Context, path string, into any) error {
	r, err := s.newRequest(http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r.WithContext(ctx))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

func (s *aviso) post(path string) error {
	r, err := s.newRequest(http.MethodPost, path, "application/json", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("POST %s: %s %s", path, resp.Status, text)
	}
	return nil
}

// appsAnswer is what we need of GET /v1/apps.
type appsAnswer struct {
	Apps []struct {
		Lanes []struct {
			Verdicts map[string]int64 `json:"verdicts"`
		} `json:"lanes"`
	} `json:"apps"`
}

func (s *aviso) settled(ctx context.Context) (n int64, err error) {
	var answer appsAnswer
	if err := s.get(ctx, "/v1/apps", &answer); err != nil {
		return 0, err
	}
	for _, app := range answer.Apps {
		for _, lane := range app.Lanes {
			for _, state := range []string{"accepted", "rejected", "expired", "cancelled", "unknown"} {
				n += lane.Verdicts[state]
			}
		}
	}
	return n, nil
}

// gorush is the server Go teams use; its local queue is in memory. It knows
// Apple's hosts only, so it goes through a proxy of ours that leads everything to
// the simulator, whose certificate it is told to trust.
type gorush struct {
	process *process
	url     string
	proxy   net.Listener
}

const gorushConfig = `core:
  enabled: true
  address: "%s"
  port: "%s"
  mode: "release"
  worker_num: 0
  queue_num: 100000
  max_notification: 1000
  http_proxy: "http://%s"
log:
  access_level: "fatal"
  error_level: "fatal"
android:
  enabled: false
ios:
  enabled: true
  key_path: "%s"
  key_type: "p8"
  production: true
  key_id: "%s"
  team_id: "%s"
  max_concurrent_pushes: 1000
  max_retry: 0
stat:
  engine: "memory"
queue:
  engine: "local"
`

func startGorush(ctx context.Context, binary, dir string, apple *simulator) (*gorush, error) {
	proxy, err := leadTo(apple.addr)
	if err != nil {
		return nil, err
	}
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(addr)
	config := filepath.Join(dir, "gorush.yml")
	text := fmt.Sprintf(gorushConfig, host, port, proxy.Addr(), apple.keyFile, keyID, teamID)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	g := &gorush{url: "http://" + addr, proxy: proxy}
	cmd := exec.Command(binary, "-c", config)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+apple.caFile)
	var out io.Reader
	if g.process, out, err = start(cmd); err != nil {
		return nil, err
	}
	go io.Copy(io.Discard, out)
	if _, err := waitFor(ctx, g.process, g.url+"/healthz"); err != nil {
		g.stop()
		return nil, err
	}
	return g, nil
}

func (g *gorush) name() string       { return "gorush" }
func (g *gorush) proc() *process     { return g.process }
func (g *gorush) others() []*process { return nil }
func (g *gorush) stop() {
	g.process.end(syscall.SIGKILL)
	g.proxy.Close()
}

func (g *gorush) request(from, n int) (*http.Request, error) {
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = device(from + i)
	}
	body, err := json.Marshal(map[string]any{"notifications": []any{map[string]any{
		"tokens": tokens, "platform": 1, "topic": topic, "title": "Game Request", "message": "Bob wants to play poker",
	}}})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequest(http.MethodPost, g.url+"/api/push", bytes.NewReader(body))
	if err == nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, err
}

func (g *gorush) settled(ctx context.Context) (int64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/api/stat/app", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		IOS struct {
			Success int64 `json:"push_success"`
			Error   int64 `json:"push_error"`
		} `json:"ios"`
	}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	return answer.IOS.Success + answer.IOS.Error, err
}

// leadTo is a CONNECT proxy that knows one address.
func leadTo(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		far, err := net.Dial("tcp", addr)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
		near, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			far.Close()
			return
		}
		go func() { io.Copy(far, buffered); far.Close() }()
		io.Copy(near, far)
		near.Close()
	}))
	return l, nil
}
