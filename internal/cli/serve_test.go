package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/auth"
	"aviso.example/engine"
	"aviso.example/internal/await"
	"aviso.example/sim"
)

// logWatch is a log whose lines can be waited for.
type logWatch struct {
	mu    sync.Mutex
	text  bytes.Buffer
	grown chan struct{}
}

func newLogWatch() *logWatch { return &logWatch{grown: make(chan struct{}, 1)} }

func (l *logWatch) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.grown <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

// wait waits for a text and forgets everything up to the end of its line.
func (l *logWatch) wait(t *testing.T, text string) string {
	t.Helper()
	timeout := time.After(time.Until(await.Deadline(t)))
	for {
		l.mu.Lock()
		all := l.text.String()
		if at := strings.Index(all, text); at >= 0 {
			if end := strings.IndexByte(all[at:], '\n'); end >= 0 {
				l.text.Next(at + end + 1)
				l.mu.Unlock()
				return all[strings.LastIndexByte(all[:at], '\n')+1 : at+end]
			}
		}
		l.mu.Unlock()
		select {
		case <-l.grown:
		case <-timeout:
			t.Fatalf("%q is not in the log:\n%s", text, all)
		}
	}
}

// withSecondKey has the simulator know another key of the team, and returns it.
func withSecondKey(t *testing.T) (*auth.SigningKey, apnstest.Option) {
	t.Helper()
	key, err := auth.GenerateSigningKey("ZZZ123DEFG")
	if err != nil {
		t.Fatal(err)
	}
	return key, func(c *sim.Config) {
		c.Keys = append(c.Keys, sim.Key{KeyID: key.KeyID(), TeamID: c.Keys[0].TeamID, Public: key.Public()})
	}
}

// configFor is the configuration of one app that sends to the simulator.
func (r *rig) configFor(key, keyID string) string {
	return fmt.Sprintf(`
listen: 127.0.0.1:0
data: %s
apps:
  shop:
    bundle_id: %s
    environment: sandbox
    key: %s
    key_id: %s
    team: %s
    endpoint: %s
    ca: %s
`, r.path("data"), r.Topic, key, keyID, r.TeamID, r.Endpoint, r.path("ca.pem"))
}

// Keys and configuration change under load, as Kubernetes changes them and as
// people do. Everything that was accepted is sent, and a configuration that is
// wrong changes nothing.
func TestReload(t *testing.T) {
	second, option := withSecondKey(t)
	apple := newRig(t, option)
	// Kubernetes mounts a folder of links to ..data, which is a link itself.
	mount := apple.path("mount")
	version := func(name string, files map[string]string) {
		t.Helper()
		dir := filepath.Join(mount, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for file, text := range files {
			write(t, filepath.Join(dir, file), text)
		}
		if err := os.Symlink(name, filepath.Join(mount, "..new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(mount, "..new"), filepath.Join(mount, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..1", map[string]string{"aviso.yaml": apple.configFor("key.p8", apple.KeyID), "key.p8": string(apple.KeyPEM)})
	for _, name := range []string{"aviso.yaml", "key.p8"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(mount, name)); err != nil {
			t.Fatal(err)
		}
	}

	out := newLogWatch()
	log := slog.New(slog.NewTextHandler(out, nil))
	source := configSource{file: filepath.Join(mount, "aviso.yaml")}
	a := &app{stdout: &bytes.Buffer{}, stderr: out, getenv: func(string) string { return "" }}
	r, err := newReloader(t.Context(), func() (*serverConfig, error) { return a.loadConfig(source) }, log)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	s, err := startServer(t.Context(), r.current.engine, serverOptions{
		listen: r.current.listen, key: func() (string, error) { return apiKeyOf(r.current, log) }, log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.apply = func(c *serverConfig) error { return s.engine.SetApps(c.engine.Apps) }
	ctx, cancel := context.WithCancel(t.Context())
	hup := make(chan os.Signal, 1)
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.attend(ctx, hup, s.failure(ctx)); err != nil {
			t.Error(err)
		}
	})

	// Pushes go on all the time.
	var messages []engine.MessageID
	pushing, stopPushing := context.WithCancel(t.Context())
	var pushed atomic.Int64
	running.Go(func() {
		for n := 0; pushing.Err() == nil; n++ {
			receipt, err := s.engine.Submit(t.Context(), &engine.Message{App: "shop", Notification: apns.Notification{Payload: []byte(`{"aps":{"alert":"x"}}`)}},
				[]engine.Target{{DeviceToken: deviceOfLine(2 * n)}, {DeviceToken: deviceOfLine(2*n + 1)}})
			if err != nil {
				t.Error(err)
				return
			}
			messages = append(messages, receipt.Message)
			pushed.Add(1)
		}
	})
	apple.WaitForPush(t, sim.Filter{Outcome: sim.Accepted})

	// A new version, with a new key.
	version("..2", map[string]string{"aviso.yaml": apple.configFor("key.p8", second.KeyID()), "key.p8": string(second.PEM())})
	out.wait(t, "configuration loaded")
	waitForKey(t, apple, second.KeyID())

	// Something wrong: it is said, and the old one stays.
	version("..3", map[string]string{"aviso.yaml": apple.configFor("key.p8", second.KeyID()), "key.p8": "garbage"})
	line := out.wait(t, "the server goes on with the old one")
	if !strings.Contains(line, "level=ERROR") || !strings.Contains(line, "apps.shop.key") {
		t.Errorf("said %s", line)
	}
	at := pushed.Load()
	for pushed.Load() < at+10 {
		apple.WaitForPush(t, sim.Filter{After: apple.Stats().Requests})
	}

	// SIGHUP looks again, and says what takes a restart.
	version("..4", map[string]string{
		"aviso.yaml": strings.Replace(apple.configFor("key.p8", apple.KeyID), "listen: ", "grace: 3s\nlisten: ", 1), "key.p8": string(apple.KeyPEM),
	})
	hup <- syscall.SIGHUP
	out.wait(t, `these changes take effect at the next start" keys=grace`)
	out.wait(t, "configuration loaded")
	waitForKey(t, apple, apple.KeyID)

	stopPushing()
	cancel()
	running.Wait()
	s.stop(10 * time.Second)

	// Nothing was lost: each has its verdict when the engine is back.
	e, err := engine.Open(t.Context(), r.current.engine)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(t.Context())
	for _, id := range messages {
		waitAccepted(t, e, id)
	}
	t.Logf("%d messages", len(messages))
}

// waitForKey waits until a provider token of a key is in use.
func waitForKey(t *testing.T, apple *rig, keyID string) {
	t.Helper()
	for {
		p := apple.WaitForPush(t, sim.Filter{After: apple.Stats().Requests})
		if p.Credential.KeyID == keyID {
			return
		}
	}
}

// waitAccepted waits for the verdicts of a message, all of which have to be
// accepted.
func waitAccepted(t *testing.T, e *engine.Engine, id engine.MessageID) {
	t.Helper()
	await.Until(t, id.String()+" to be done", func() bool {
		s, err := e.Message(t.Context(), id)
		if err != nil || s.Done && (s.States[engine.Accepted] != s.Accepted || s.Accepted == 0) {
			t.Fatalf("%s: %v %+v", id, err, s)
		}
		return s.Done
	})
}

// systemd is told when the server is ready and when it stops.
func TestNotifySystemd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := &app{getenv: func(name string) string { return map[string]string{"NOTIFY_SOCKET": path}[name] }}
	if err := a.notifySystemd("READY=1", "STATUS=x"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, err := l.Read(b)
	if err != nil || string(b[:n]) != "READY=1\nSTATUS=x" {
		t.Errorf("%q %v", b[:n], err)
	}
	a.getenv = func(string) string { return "" }
	if err := a.notifySystemd("READY=1"); err != nil {
		t.Error(err)
	}
}

// Who lets everybody read the API key or write in the data folder is told.
func TestWarnOfOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing")
	}
	for _, test := range []struct {
		folder, file os.FileMode
		want         int
	}{
		{0o700, 0o600, 0}, {0o755, 0o600, 0}, {0o770, 0o640, 0}, {0o700, 0o644, 1}, {0o777, 0o600, 1}, {0o1777, 0o604, 2},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, apiKeyName)
		write(t, path, strings.Repeat("k", 32))
		if err := errors.Join(os.Chmod(path, test.file), os.Chmod(dir, test.folder)); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		warnOfOthers(dir, slog.New(slog.NewTextHandler(&out, nil)))
		if n := strings.Count(out.String(), "level=WARN"); n != test.want || strings.Contains(out.String(), "kkkk") {
			t.Errorf("%v %v: %d warnings, want %d\n%s", test.folder, test.file, n, test.want, out.String())
		}
	}
}

// The key of the API is made once, for the owner alone.
func TestOwnAPIKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	generate := func() string { return "01234567890123456789" }
	key, path, made, err := ownAPIKey(dir, generate)
	if err != nil || !made || key != generate() {
		t.Fatal(key, made, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	again, _, made, err := ownAPIKey(dir, func() string { panic("made another") })
	if err != nil || made || again != key {
		t.Error(again, made, err)
	}
	write(t, path, "") // a crash before there was a key, as old versions left it
	if key, _, made, err := ownAPIKey(dir, generate); err != nil || !made || key != generate() {
		t.Error(key, made, err)
	}
	if again, _, made, err := ownAPIKey(dir, generate); err != nil || made || again != key {
		t.Error(again, made, err)
	}
	write(t, path, "short")
	if _, _, _, err := ownAPIKey(dir, generate); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Error(err)
	}
	if _, err := readAPIKeyFile(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
