//go:build unix

package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"aviso.example/auth"
	"aviso.example/internal/namedfile"
)

// attended is a reloader at work on a configuration; its log can be waited for.
func attended(t *testing.T, file string, load func() (*serverConfig, error)) (r *reloader, out *logWatch, hup chan<- os.Signal, stop func()) {
	t.Helper()
	out = newLogWatch()
	if load == nil {
		load = func() (*serverConfig, error) {
			c, _, err := loadConfig(configSource{file: file})
			return c, err
		}
	}
	r, err := newReloader(t.Context(), load, slog.New(slog.NewTextHandler(out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r.apply = func(*serverConfig) error { return nil }
	ctx, cancel := context.WithCancel(t.Context())
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	go func() {
		defer close(done)
		if err := r.attend(ctx, signals, nil); err != nil {
			t.Error(err)
		}
	}()
	return r, out, signals, func() {
		t.Helper()
		cancel()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Error("it does not stop")
		}
		r.close()
	}
}

// A named pipe in place of a file is refused: it keeps nobody waiting, and what is put
// right later is taken over.
func TestPipeInPlaceOfAFile(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"aviso.yaml", "AuthKey_ABC123DEFG.p8"} {
		dir := configDir(t, map[string]string{"aviso.yaml": shop})
		file := filepath.Join(dir, name)
		_, out, hup, stop := attended(t, filepath.Join(dir, "aviso.yaml"), nil)
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(file, 0o600); err != nil {
			t.Fatal(err)
		}
		if line := out.wait(t, "goes on with the old one"); !strings.Contains(line, "not a regular file") {
			t.Errorf("%s: %s", name, line)
		}
		hup <- syscall.SIGHUP
		out.wait(t, "cause=SIGHUP")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		write(t, file, string(good)+"\n")
		out.wait(t, "configuration loaded")
		stop()
	}
}

// Nor does one in the data folder, where the server makes its own files.
func TestPipeInPlaceOfTheAPIKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, apiKeyName), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := ownAPIKey(dir, func() string { panic("made another") }); !errors.Is(err, namedfile.ErrNotRegular) {
		t.Error(err)
	}
}

// What another library opens is looked at before.
func TestPipeInPlaceOfTheLogsCredentials(t *testing.T) {
	t.Parallel()
	dir := configDir(t, map[string]string{"aviso.yaml": "nats: {urls: \"nats://127.0.0.1:1\", credentials_file: pipe}\n" + shop})
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &app{getenv: func(string) string { return "" }}
	_, err := a.loadConfig(configSource{file: filepath.Join(dir, "aviso.yaml")})
	if err == nil || !strings.Contains(err.Error(), "nats.credentials_file: is not a regular file") {
		t.Error(err)
	}
}

// While a file does not answer the server can be stopped, and what was asked for
// meanwhile is done when it does.
func TestFileThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	dir := configDir(t, map[string]string{"aviso.yaml": shop})
	file := filepath.Join(dir, "aviso.yaml")
	hangs, loads := make(chan chan struct{}, 1), 0
	load := func() (*serverConfig, error) {
		select {
		case wait := <-hangs:
			<-wait
		default:
		}
		loads++
		c, _, err := loadConfig(configSource{file: file})
		return c, err
	}
	_, out, hup, stop := attended(t, file, load)
	wait := make(chan struct{})
	hangs <- wait
	hup <- syscall.SIGHUP
	hup <- syscall.SIGHUP // it was taken: the reloader is not deaf
	hup <- syscall.SIGHUP
	close(wait)
	out.wait(t, "configuration loaded")
	out.wait(t, "configuration loaded")
	wait = make(chan struct{})
	defer close(wait)
	hangs <- wait
	hup <- syscall.SIGHUP
	stop()
}

// A server that a file keeps waiting when it starts can be stopped, too.
func TestFileThatDoesNotAnswerAtStart(t *testing.T) {
	t.Parallel()
	wait := make(chan struct{})
	defer close(wait)
	ctx, cancel := context.WithCancel(t.Context())
	load := func() (*serverConfig, error) {
		cancel()
		<-wait
		return nil, errors.New("it answered")
	}
	if _, err := newReloader(ctx, load, slog.New(slog.DiscardHandler)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A key is taken over whichever link on the way to it is pointed elsewhere.
func TestLinksOnTheWay(t *testing.T) {
	t.Parallel()
	other, err := auth.GenerateSigningKey("ABC123DEFG")
	if err != nil {
		t.Fatal(err)
	}
	third, err := auth.GenerateSigningKey("ABC123DEFG")
	if err != nil {
		t.Fatal(err)
	}
	point := func(t *testing.T, link, to string) {
		t.Helper()
		if err := os.Symlink(to, link+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+".new", link); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct{ path, link, before, after string }{
		"a folder":               {"certs/current/apns.p8", "certs/current", "v1", "v2"},
		"a folder, absolute":     {"certs/current/apns.p8", "certs/current", "/DIR/certs/v1", "/DIR/certs/v2"},
		"a folder of links":      {"a/b/apns.p8", "a/b", "../certs/current", "../certs/v2"},
		"a link to a link":       {"a/b/apns.p8", "certs/current", "v1", "v2"},
		"the file":               {"a/key.p8", "a/key.p8", "../certs/v1/apns.p8", "../certs/v2/apns.p8"},
		"a link far above":       {"deep/x/y/certs/v0/apns.p8", "deep", "one", "two"},
		"out of a link":          {"a/out/apns.p8", "a/out", "../far/in/../v1", "../far/in/../v2"},
		"a link to a link above": {"a/d/x/y/certs/v0/apns.p8", "deep", "one", "two"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := configDir(t, nil)
			first, err := os.ReadFile(filepath.Join(dir, "AuthKey_ABC123DEFG.p8"))
			if err != nil {
				t.Fatal(err)
			}
			for _, folder := range []string{"cfg", "certs/v1", "certs/v2", "a", "one/x/y/certs/v0", "two/x/y/certs/v0", "far", "certs/inside"} {
				if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for _, version := range []string{"certs/v1", "one/x/y/certs/v0"} {
				write(t, filepath.Join(dir, version, "apns.p8"), string(first))
			}
			for _, version := range []string{"certs/v2", "two/x/y/certs/v0"} {
				write(t, filepath.Join(dir, version, "apns.p8"), string(other.PEM()))
			}
			point(t, filepath.Join(dir, "certs/current"), "v1")
			point(t, filepath.Join(dir, "a/b"), "../certs/current")
			point(t, filepath.Join(dir, "far/in"), "../certs/inside") // so far/in/.. is certs
			point(t, filepath.Join(dir, "deep"), "one")
			point(t, filepath.Join(dir, "a/d"), "../deep")
			link, in := filepath.Join(dir, test.link), func(text string) string { return strings.ReplaceAll(text, "/DIR", dir) }
			point(t, link, in(test.before))
			write(t, filepath.Join(dir, "cfg/aviso.yaml"), "apps: {shop: {bundle_id: a.b, key: ../"+test.path+", key_id: ABC123DEFG, team: A1B2C3D4E5}}")
			r, out, _, stop := attended(t, filepath.Join(dir, "cfg/aviso.yaml"), nil)
			if real, err := filepath.EvalSymlinks(filepath.Dir(link)); err != nil || !r.watched[filepath.Dir(link)] && !r.watched[real] {
				t.Errorf("the folder of the link is not watched: %v, %v", r.watched, err)
			}
			point(t, link, in(test.after))
			out.wait(t, "configuration loaded")
			// Where it leads now is watched as what it led to before was.
			for _, version := range []string{"certs/v2", "two/x/y/certs/v0"} {
				write(t, filepath.Join(dir, version, "apns.p8"), string(third.PEM()))
			}
			out.wait(t, "configuration loaded")
			// And so is the folder that takes the place of one.
			for _, version := range []string{"certs/v2", "two/x/y/certs/v0"} {
				folder := filepath.Join(dir, version)
				if err := os.Rename(folder, folder+".old"); err != nil {
					t.Fatal(err)
				}
			}
			out.wait(t, "goes on with the old one")
			for _, version := range []string{"certs/v2", "two/x/y/certs/v0"} {
				folder := filepath.Join(dir, version)
				if err := os.Mkdir(folder, 0o700); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(folder, "apns.p8"), string(other.PEM()))
			}
			out.wait(t, "configuration loaded")
			stop()
			if !r.current.engine.Apps[0].Production.Key.Public().Equal(other.Public()) {
				t.Error("it goes on with the old key")
			}
		})
	}
}
