package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aviso.example/engine"
	"aviso.example/sim"
)

// A certificate that has expired is wrong where a configuration is checked, and told at
// Error where a server runs, which goes on for its other apps; one that soon will is
// told of in both.
func TestExpiries(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		left  time.Duration
		code  int
		said  string
		level string
	}{
		"expired":      {-time.Hour, ExitUsage, "apps.shop: its certificate for production expired on ", "ERROR"},
		"tomorrow":     {36 * time.Hour, ExitOK, "warning: apps.shop: its certificate for production expires on ", "WARN"},
		"in time":      {29 * 24 * time.Hour, ExitOK, "in 28 days; make a new one", "WARN"},
		"not for long": {31 * 24 * time.Hour, ExitOK, "is in order", ""},
	} {
		cert, err := selfSigned("Apple Push Services: com.example.app", time.Now().Add(test.left))
		if err != nil {
			t.Fatal(err)
		}
		dir := configDir(t, map[string]string{"push.pem": string(cert), "aviso.yaml": "apps: {shop: {production: {certificate: push.pem}, environment: production}}"})
		code, out, errs := runCLI(t, "", "config", "check", filepath.Join(dir, "aviso.yaml"))
		if code != test.code || !strings.Contains(out+errs, test.said) {
			t.Errorf("%s: exit code %d, %s%s", name, code, out, errs)
		}
		c, _, err := loadConfig(configSource{file: filepath.Join(dir, "aviso.yaml")})
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		logExpiries(slog.New(slog.NewTextHandler(&log, nil)), c.engine.Apps)
		if test.level == "" && log.Len() > 0 || !strings.Contains(log.String(), test.level) {
			t.Errorf("%s: %s", name, log.String())
		}
	}
}

// A certificate that is replaced by one for another topic is taken over, and told of.
func TestTopicChange(t *testing.T) {
	t.Parallel()
	var apps [2][]engine.App
	for i, topic := range []string{"com.apple.mgmt.External.1", "com.apple.mgmt.External.2"} {
		cert, err := selfSigned("APSP: "+topic, time.Now().AddDate(0, 3, 0))
		if err != nil {
			t.Fatal(err)
		}
		dir := configDir(t, map[string]string{"push.pem": string(cert), "aviso.yaml": "apps: {mdm: {production: {certificate: push.pem}}}"})
		c, _, err := loadConfig(configSource{file: filepath.Join(dir, "aviso.yaml")})
		if err != nil {
			t.Fatal(err)
		}
		apps[i] = c.engine.Apps
	}
	var log bytes.Buffer
	tellTopicChanges(slog.New(slog.NewTextHandler(&log, nil)), apps[0], apps[1])
	if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "topic=com.apple.mgmt.External.2 before=com.apple.mgmt.External.1") {
		t.Error(text)
	}
	log.Reset()
	if tellTopicChanges(slog.New(slog.NewTextHandler(&log, nil)), apps[0], apps[0]); log.Len() > 0 {
		t.Error(log.String())
	}
}

// A server whose way out is a proxy goes through it, and with --json each line on
// standard error is JSON, also the last.
func TestServeThroughProxy(t *testing.T) {
	apple := newRig(t)
	proxy, tunnels := connectProxy(t)
	file := apple.file(t, "aviso.yaml", apple.configFor(apple.file(t, "key.p8", string(apple.KeyPEM)), apple.KeyID)+"    proxy: "+strings.Replace(proxy, "//", "//me:hidden-word@", 1)+"\n")
	s := &served{cmd: exec.Command("aviso", "serve", "--json", "--config", file), out: newLogWatch()}
	var all bytes.Buffer
	s.cmd.Stderr = io.MultiWriter(&all, s.out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill(); s.cmd.Wait() })
	var serving struct{ API string }
	if err := json.Unmarshal([]byte(s.out.wait(t, `"serving"`)), &serving); err != nil {
		t.Fatal(err)
	}
	code, out, errs := runCLI(t, "", "push", "--server", serving.API, "--api-key-file", filepath.Join(apple.path("data"), apiKeyName), "--app", "shop", "--to", someDevice, "--title", "x", "--wait=10s")
	if code != ExitOK || tunnels.Load() != 1 {
		t.Errorf("exit code %d after %d tunnels: %s%s", code, tunnels.Load(), out, errs)
	}
	apple.WaitForPush(t, sim.Filter{Outcome: sim.Accepted})
	s.end(t, os.Interrupt)
	text := all.String()
	for line := range strings.Lines(text) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	if strings.Contains(text, "hidden-word") {
		t.Error("the proxy's password is in the log")
	}
	code, _, errs = runCLI(t, "", "serve", "--json", "--config", apple.file(t, "wrong.yaml", "apps: {}\n"))
	if code != ExitUsage || !json.Valid([]byte(strings.TrimSpace(errs))) {
		t.Errorf("exit code %d: %s", code, errs)
	}
}
