package cli

import (
	"bytes"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"aviso.example/apns"
	"aviso.example/auth"
)

// disguises are the ways in which people give a key in place of a file's name.
func disguises(text string) map[string]string {
	return map[string]string{
		"as it is":       text,
		"in one line":    strings.ReplaceAll(text, "\n", `\n`),
		"in base64":      base64.StdEncoding.EncodeToString([]byte(text)),
		"without a name": strings.Split(text, "\n")[1],
	}
}

// leaks returns a part of a secret that is in a text, or "".
func leaks(text, secret string) string {
	for i := 0; i+16 <= len(secret); i++ {
		if part := secret[i : i+16]; strings.Contains(text, part) && !strings.Contains(part, "-----") && !strings.Contains(part, "KEY") {
			return part
		}
	}
	return ""
}

// A key in place of a file's name is said to be one, and is nowhere repeated: by no
// command, in no message, and not where settings are shown.
func TestKeyInPlaceOfAName(t *testing.T) {
	t.Parallel()
	key, err := auth.GenerateSigningKey("ABC123DEFG")
	if err != nil {
		t.Fatal(err)
	}
	dir := configDir(t, nil)
	for name, secret := range disguises(string(key.PEM())) {
		for _, line := range [][]string{
			{"send", "--sandbox", "--key", secret, "--team", "A1B2C3D4E5", "--topic", "a.b", "--to", "aa", "--title", "x"},
			{"send", "--sandbox", "--key=" + secret, "--team", "A1B2C3D4E5", "--topic", "a.b", "--to", "aa", "--title", "x"},
			{"send", "--sandbox", "--cert", secret, "--topic", "a.b", "--to", "aa", "--title", "x"},
			{"send", "--sandbox", "--cert", "x", "--password-file", secret, "--to", "aa", "--title", "x"},
			{"send", "--sandbox", "--ca", secret, "--key", "x", "--team", "A1B2C3D4E5", "--to", "aa", "--title", "x"},
			{"send", "--sandbox", "--key", "x", "--team", secret, "--to", "aa", "--title", "x"},
			{"doctor", "--sandbox", "--key", secret, "--team", "A1B2C3D4E5"},
			{"channel", "list", "--sandbox", "--key", secret, "--team", "A1B2C3D4E5", "--topic", "a.b"},
			{"simulate", "--listen", "127.0.0.1:0", "--key", secret, "--team", "A1B2C3D4E5"},
			{"credential", secret},
			{"credential", "--", secret},
			{secret},
			{"-" + secret},
			{"webpush", "send", "x.json", "--key", secret},
			{"wallet", "sign", "x", "--cert", secret},
			{"push", "--api-key-file", secret, "--to", "aa", "--title", "x"},
			{"serve", "--config", secret},
			{"config", "check", secret},
			{"config", "show", secret},
		} {
			var out bytes.Buffer
			a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &out, getenv: func(string) string { return "" }}
			code := a.run(t.Context(), line)
			if part := leaks(out.String(), secret); part != "" {
				t.Errorf("%s, %.12q: %q is repeated:\n%s", name, line, part, out.String())
			}
			if code != ExitUsage && code != ExitFailure && code != ExitUnreachable {
				t.Errorf("%s, %.12q: exit code %d:\n%s", name, line, code, out.String())
			}
		}
		for _, key := range []string{"AVISO_APPS_SHOP_KEY", "AVISO_APPS_SHOP_CERTIFICATE", "AVISO_APPS_SHOP_PASSWORD_FILE", "AVISO_APPS_SHOP_CA", "AVISO_API_KEY_FILE", "AVISO_DATA", "AVISO_GATEWAY_CERTIFICATE", "AVISO_APPS_SHOP_TEAM", "AVISO_NATS_CREDENTIALS_FILE", "AVISO_APPS_SHOP_GATEWAY_CERTIFICATES"} {
			file := filepath.Join(dir, "aviso.yaml")
			write(t, file, shop)
			for _, command := range [][]string{{"serve", "--json"}, {"gateway"}, {"config", "check", file}, {"config", "show", file}} {
				var out bytes.Buffer
				a := &app{
					stdin: strings.NewReader(""), stdout: &out, stderr: &out, getenv: func(string) string { return "" },
					environ: []string{key + "=" + secret, "AVISO_LISTEN=127.0.0.1:0", "AVISO_GATEWAY_LISTEN=127.0.0.1:0", "AVISO_GATEWAY_FEEDBACK=127.0.0.1:0"},
				}
				if command[0] == "serve" || command[0] == "gateway" {
					command = append(command, "--config", file)
				}
				if code := a.run(t.Context(), command); code != ExitUsage {
					t.Errorf("%s, %s in %q: exit code %d:\n%s", name, key, command[0], code, out.String())
				}
				if part := leaks(out.String(), secret); part != "" {
					t.Errorf("%s, %s, %.30q: %q is repeated:\n%s", name, key, command, part, out.String())
				}
				if want := "not the name of a file"; strings.HasSuffix(key, "_KEY") && !strings.Contains(out.String(), want) {
					t.Errorf("%s, %s: %q is not in\n%s", name, key, want, out.String())
				}
			}
		}
	}
}

// Whatever command and flag a key is given to, nothing is done and nothing repeats it. A
// text may say what it likes.
func TestKeyAnywhereOnTheCommandLine(t *testing.T) {
	t.Parallel()
	key, err := auth.GenerateSigningKey("ABC123DEFG")
	if err != nil {
		t.Fatal(err)
	}
	text := string(key.PEM())
	once := base64.StdEncoding.EncodeToString([]byte(text))
	given := []string{text, strings.ReplaceAll(text, "\n", " "), once, base64.StdEncoding.EncodeToString([]byte(once)), "data:;base64," + once, strings.Split(text, "\n")[1]}
	tried := 0
	run := func(args ...string) (code int, out string) {
		var both bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: &both, stderr: &both, getenv: func(string) string { return "" }}
		code = a.run(t.Context(), args)
		return code, both.String()
	}
	try := func(secret string, args ...string) {
		t.Helper()
		tried++
		code, out := run(args...)
		if part := leaks(out, secret); part != "" || code != ExitUsage || !strings.Contains(out, "private key") {
			t.Errorf("%.60q ends with %d and repeats %q:\n%s", args, code, part, out)
		}
	}
	var walk func(cmd *cobra.Command, path []string)
	walk = func(cmd *cobra.Command, path []string) {
		with := func(args ...string) []string { return append(slices.Clone(path), args...) }
		if !cmd.HasSubCommands() {
			for _, secret := range given {
				try(secret, with(secret)...)
				try(secret, with("--", secret)...)
				try(secret, with("-"+secret)...)
			}
		}
		cmd.Flags().VisitAll(func(flag *pflag.Flag) {
			if kind, _ := pflag.UnquoteUsage(flag); slices.Contains(textValues, kind) || flag.NoOptDefVal != "" {
				return
			}
			// One form each: a command line costs a millisecond, and what is recognised is
			// package secret's business.
			try(given[0], with("--"+flag.Name, given[0])...)
			try(given[3], with("--"+flag.Name+"="+given[3])...)
		})
		for _, sub := range cmd.Commands() {
			walk(sub, with(sub.Name()))
		}
	}
	walk((&app{}).root(), nil)
	if tried < 500 {
		t.Errorf("%d command lines were tried; commands are missing", tried)
	}
	if _, out := run("send", "--body", text); !strings.Contains(out, "--sandbox") {
		t.Error(out)
	}
}

// What others write to a log, such as libraries, is looked through too.
func TestLogWithoutSecrets(t *testing.T) {
	t.Parallel()
	key, err := auth.GenerateSigningKey("ABC123DEFG")
	if err != nil {
		t.Fatal(err)
	}
	for _, json := range []bool{false, true} {
		for name, secret := range disguises(string(key.PEM())) {
			var out bytes.Buffer
			a := &app{stdout: &out, stderr: &out, json: json, verbose: 2}
			for _, log := range []*slog.Logger{a.serverLogger(), a.logger()} {
				log.Error("open "+secret, "path", secret, "error", errors.New("open "+secret+": no such file"), slog.Group("in", "a group", secret))
				log.With("path", secret).Info("x")
			}
			a.warnf("%s", secret)
			if part := leaks(out.String(), secret); part != "" {
				t.Errorf("json %v, %s: %q is in\n%s", json, name, part, out.String())
			}
		}
	}
}

// A password in place of the name of its file is not repeated either, whatever it looks
// like.
func TestPasswordInPlaceOfAName(t *testing.T) {
	t.Parallel()
	dir := configDir(t, map[string]string{"push.p12": "x"})
	for _, password := range []string{"correct horse battery staple", "hunter2", "pa/ss.word", "S3cr3t!"} {
		file := filepath.Join(dir, "aviso.yaml")
		write(t, file, "apps: {shop: {certificate: push.p12, password_file: \""+password+"\"}}")
		for _, line := range [][]string{
			{"send", "--sandbox", "--cert", filepath.Join(dir, "push.p12"), "--password-file", password, "--to", "aa", "--title", "x"},
			{"config", "check", file},
		} {
			var out bytes.Buffer
			a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &out, getenv: func(string) string { return "" }}
			if code := a.run(t.Context(), line); code != ExitUsage || strings.Contains(out.String(), password) || !strings.Contains(out.String(), "not the password") {
				t.Errorf("%q: exit code %d:\n%s", line[0], code, out.String())
			}
		}
	}
}

// Keys, certificates and passwords can be given themselves, in every disguise that
// variables and YAML put on them.
func TestInlineCredentials(t *testing.T) {
	t.Parallel()
	key, err := auth.GenerateSigningKey("ABC123DEFG")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range disguises(string(key.PEM())) {
		if name == "without a name" {
			continue
		}
		c, _, err := loadConfig(configSource{environ: []string{
			"AVISO_APPS_SHOP_KEY_PEM=" + text, "AVISO_APPS_SHOP_KEY_ID=ABC123DEFG", "AVISO_APPS_SHOP_TEAM=A1B2C3D4E5", "AVISO_APPS_SHOP_BUNDLE_ID=com.example.app",
			"AVISO_API_KEY=" + strings.Repeat("k", 32), "AVISO_APPS_SHOP_PROXY=http://me:hidden-word@proxy.example:3128",
		}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		credential := c.engine.Apps[0].Production
		if !credential.Key.Public().Equal(key.Public()) || c.apiKey != strings.Repeat("k", 32) {
			t.Errorf("%s: %+v", name, credential)
		}
		via, err := credential.ProxyFunc()(&url.URL{Scheme: "https", Host: "api.push.apple.com"})
		if err != nil || via.Host != "proxy.example:3128" {
			t.Errorf("%v, %v", via, err)
		}
		var out bytes.Buffer
		a := &app{stdout: &out, stderr: &out, getenv: func(string) string { return "" }}
		if err := a.showConfig(c); err != nil {
			t.Error(err)
		}
		for _, secret := range []string{text, strings.Repeat("k", 32), "hidden-word"} {
			if strings.Contains(out.String(), secret) || leaks(out.String(), secret) != "" {
				t.Errorf("%s is shown:\n%s", name, out.String())
			}
		}
		getenv := func(variable string) string {
			return map[string]string{keyVariableOfCommands: text}[variable]
		}
		i, cfg := identity{keyID: "ABC123DEFG", team: "A1B2C3D4E5"}, apns.Config{}
		if err := i.apply(&app{getenv: getenv}, &cfg); err != nil || !cfg.Key.Public().Equal(key.Public()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
