package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/engine"
	"aviso.example/internal/api"
	"aviso.example/sim"
)

// What `aviso dev` calls things. They never change, so that a command pasted
// from an earlier run still works.
const (
	devKeyID       = "AVISODEV01"
	devTeam        = "AVISOTEAM1"
	devTopic       = "com.example.app"
	devApp         = "demo"
	devDeviceToken = "a0b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9f"
)

const (
	// devData is where the server's data is, in the directory for keys.
	devData = "server"
	// devMaxBytes bounds the server's log: a demo does not need the whole disk.
	devMaxBytes = 1 << 30
)

// devPushTimeout bounds the first push, which needs a few milliseconds.
const devPushTimeout = 10 * time.Second

type devFlags struct {
	dir, listen, api, server string
	once                     bool
}

func (a *app) devCommand() *cobra.Command {
	f := &devFlags{}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Start a simulator and a server, and send a first push through both",
		Long: `Start an APNs simulator with a demo device on this machine and a push server that
sends to it, make the keys they need, send a first push through the server's API,
and print a map of everything with the next commands to try. Nothing leaves the
machine, and no account with Apple is needed.

The ports are 2197 to 2199; if one is taken, a free one is used. Keys and the
server's data are kept in a private directory that is removed at the end, or in
--dir, where they stay, so that the same commands work next time. Ctrl-C ends it.`,
		Example: `  aviso dev
  aviso dev --once
  aviso dev --dir ~/.aviso-dev --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.dev(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.once, "once", false, "end after the first push, with its exit code")
	flags.StringVar(&f.dir, "dir", "", "keep keys in `DIR` (default: a private temporary directory)")
	flags.StringVar(&f.listen, "listen", defaultListen, "serve APNs on loopback `HOST:PORT`")
	flags.StringVar(&f.api, "api", defaultAPI, "serve the simulator's test API on loopback `HOST:PORT`")
	flags.StringVar(&f.server, "server", defaultServer, "serve the push server's API on loopback `HOST:PORT`")
	return cmd
}

// devMap is what dev tells about what it started.
type devMap struct {
	Endpoint string `json:"endpoint"`
	// API is the simulator's test API, Server the push server's API.
	API         string  `json:"api"`
	Server      string  `json:"server"`
	APIKey      string  `json:"api_key"`
	App         string  `json:"app"`
	CAFile      string  `json:"ca_file"`
	KeyFile     string  `json:"key_file"`
	KeyID       string  `json:"key_id"`
	TeamID      string  `json:"team_id"`
	Topic       string  `json:"topic"`
	DeviceToken string  `json:"device_token"`
	FirstPush   verdict `json:"first_push"`
	// Next are command lines to paste.
	Next devNext `json:"next"`
}

type devNext struct {
	Push    string `json:"push"`
	Verdict string `json:"verdict"`
	Send    string `json:"send"`
	// Channel makes a broadcast channel.
	Channel string `json:"channel"`
	List    string `json:"list"`
}

func (a *app) dev(ctx context.Context, f *devFlags) (err error) {
	for _, flag := range []struct{ name, address string }{{"--listen", f.listen}, {"--api", f.api}, {"--server", f.server}} {
		if loopback, err := isLoopback(flag.address); err != nil {
			return usage("%s has to be HOST:PORT: %w", flag.name, err)
		} else if !loopback {
			return usage("%s is not on loopback; dev is for this machine only, use aviso simulate to serve others", flag.name)
		}
	}
	dir, remove, err := devDir(f.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	key, keyFile, err := devKey(dir)
	if err != nil {
		return err
	}

	log := a.logger()
	s, err := startSimulator(sim.Config{
		TeamID: devTeam, Logger: log,
		Keys: []sim.Key{{KeyID: key.KeyID(), TeamID: devTeam, Public: key.Public()}},
	}, f.listen, f.api, true)
	if err != nil {
		return err
	}
	defer s.stop()
	device := sim.Device{DeviceToken: devDeviceToken, Environment: sim.Sandbox, Topics: []string{devTopic}}
	if err := s.server.Devices().Put(device, s.server.Now()); err != nil {
		return err
	}
	caFile := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(caFile, s.server.CAPEM(), 0o600); err != nil {
		return err
	}
	data := filepath.Join(dir, devData)
	push, err := startServer(ctx, engine.Config{
		Store: engine.StoreConfig{Dir: data, MaxBytes: devMaxBytes},
		Apps: []engine.App{{
			ID: devApp, BundleID: devTopic, Default: apns.Sandbox,
			Sandbox: &engine.Credential{Key: key, TeamID: devTeam, Endpoint: s.apns, ExtraRoots: s.server.CAPEM()},
		}},
	}, serverOptions{
		name: "--server", listen: f.server, orFree: true, log: log,
		key: func() (string, error) { key, _, _, err := ownAPIKey(data, api.GenerateKey); return key, err },
	})
	if err != nil {
		return err
	}
	defer push.stop(farewell)
	m := devMap{
		Endpoint: s.apns, API: s.api, Server: push.url, APIKey: push.key, App: devApp, CAFile: caFile, KeyFile: keyFile,
		KeyID: key.KeyID(), TeamID: devTeam, Topic: devTopic, DeviceToken: devDeviceToken,
	}
	pushed := time.Now()
	if m.FirstPush, err = m.firstPush(ctx); err != nil {
		return err
	}
	took := time.Since(pushed)
	m.Next = m.next()
	if err := a.printMap(m, took, f.once); err != nil {
		return err
	}
	if f.once || m.FirstPush.Outcome != apns.Accepted {
		return exit(m.FirstPush.exitCode())
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.served:
		s.served <- err
		return err
	case err := <-push.served:
		push.served <- err
		return err
	}
}

// devDir returns the directory for keys and what to do with it at the end.
func devDir(dir string) (path string, remove func() error, err error) {
	if dir == "" {
		// MkdirTemp gives it mode 0700.
		path, err = os.MkdirTemp("", "aviso-dev-")
		return path, func() error { return os.RemoveAll(path) }, err
	}
	if path, err = filepath.Abs(dir); err == nil {
		err = os.MkdirAll(path, 0o700)
	}
	if err != nil {
		return "", nil, usage("--dir: %w", err)
	}
	return path, func() error { return nil }, nil
}

// devKey makes the signing key, or takes the one of an earlier run.
func devKey(dir string) (*auth.SigningKey, string, error) {
	path := filepath.Join(dir, "AuthKey_"+devKeyID+".p8")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		key, err := auth.LoadSigningKey(path, devKeyID)
		if err != nil {
			return nil, "", usage("--dir: %w; remove the file, and another key is made", trimmed{err})
		}
		return key, path, nil
	}
	key, err := auth.GenerateSigningKey(devKeyID)
	if err != nil {
		return nil, "", err
	}
	return key, path, os.WriteFile(path, key.PEM(), 0o600)
}

// firstPush goes the way of every push: over HTTP to the server, onto its disk,
// and over TLS and HTTP/2 to APNs.
func (m devMap) firstPush(ctx context.Context) (verdict, error) {
	c := &apiClient{base: m.Server, key: m.APIKey, http: newHTTPClient()}
	defer c.close()
	var receipt api.MessageReceipt
	if err := c.ask(ctx, http.MethodPost, "/v1/messages", map[string]any{
		"to": m.DeviceToken, "title": "Hello from aviso", "body": "Your first push was accepted.", "sound": "default",
	}, &receipt); err != nil {
		return verdict{}, err
	}
	verdicts, err := c.await(ctx, receipt, devPushTimeout)
	return verdicts[0], err
}

func (m devMap) next() devNext {
	curl := "curl -s " + m.Server + "%s -H 'Authorization: Bearer " + m.APIKey + "'"
	return devNext{
		Push: fmt.Sprintf(curl, "/v1/messages") + ` -H 'Content-Type: application/json' -d '{"to":"` + m.DeviceToken +
			`","title":"Hello","body":"Sent with curl"}'`,
		Verdict: fmt.Sprintf(curl, "/v1/deliveries/"+m.FirstPush.ID),
		Send: command() + strings.Join([]string{
			" send --endpoint", m.Endpoint, "--ca", quote(m.CAFile), "--key", quote(m.KeyFile),
			"--team", m.TeamID, "--topic", m.Topic, "--to", m.DeviceToken, "--title Hello --body 'Sent by hand'"}, " "),
		Channel: command() + strings.Join([]string{
			" channel create --endpoint", m.Endpoint, "--ca", quote(m.CAFile), "--key", quote(m.KeyFile),
			"--team", m.TeamID, "--topic", m.Topic}, " "),
		List: "curl -s '" + m.API + "/sim/v1/pushes'",
	}
}

func (a *app) printMap(m devMap, took time.Duration, once bool) error {
	if a.json {
		return a.printJSON(m)
	}
	a.printf("%s Nothing leaves this machine.\n\n", a.paint(a.stdout, bold, "A simulator of APNs with a demo device, and a push server."))
	for _, line := range [][2]string{
		{"push API", m.Server + "/v1/messages"}, {"API key", m.APIKey},
		{"APNs endpoint", m.Endpoint}, {"test API", m.API + "/sim/v1/info"},
		{"CA file", m.CAFile}, {"signing key", m.KeyFile}, {"key id", m.KeyID}, {"team id", m.TeamID},
		{"topic", m.Topic}, {"device token", m.DeviceToken},
	} {
		a.printf("  %-14s %s\n", line[0], line[1])
	}
	a.printf("\nThe first push, after %v:\n\n", took.Round(100*time.Microsecond))
	a.printVerdict(m.FirstPush)
	if once || m.FirstPush.Outcome != apns.Accepted {
		return nil
	}
	a.printf("\nSend another through the server, from a second terminal:\n\n  %s\n", m.Next.Push)
	a.printf("\nRead the verdict on the first push there:\n\n  %s\n", m.Next.Verdict)
	a.printf("\nSend one past the server, with a client of your own:\n\n  %s\n", m.Next.Send)
	a.printf("\nMake a broadcast channel (see aviso channel):\n\n  %s\n", m.Next.Channel)
	a.printf("\nSee what arrived:\n\n  %s\n\nCtrl-C ends it.\n", m.Next.List)
	return nil
}

// command is how this program was started, for lines that can be pasted.
func command() string {
	path, err := os.Executable()
	if err == nil && strings.Contains(filepath.ToSlash(path), "/go-build") {
		return "go run ./cmd/aviso"
	}
	if found, err := exec.LookPath("aviso"); err == nil && found == path {
		return "aviso"
	}
	return quote(os.Args[0])
}

// quote makes a word safe for a POSIX shell.
func quote(s string) string {
	safe := func(r rune) bool {
		return r < 0x80 && (strings.ContainsRune("%+,-./:=@_~", r) || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z')
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	return fmt.Sprintf("'%s'", strings.ReplaceAll(s, "'", `'\''`))
}
