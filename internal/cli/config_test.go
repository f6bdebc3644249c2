package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
)

// configDir is a folder with a signing key and the files given.
func configDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	key, err := auth.GenerateSigningKey("ABC123DEFG")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "AuthKey_ABC123DEFG.p8"), string(key.PEM()))
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// shop is a configuration that is in order.
const shop = `
apps:
  shop:
    bundle_id: com.example.app
    key: AuthKey_ABC123DEFG.p8
    team: A1B2C3D4E5
`

func TestConfigExample(t *testing.T) {
	t.Parallel()
	dir := configDir(t, map[string]string{"aviso.yaml": exampleConfig})
	c, warnings, err := loadConfig(configSource{file: filepath.Join(dir, "aviso.yaml")})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if got := c.engine.Apps; len(got) != 1 || got[0].ID != "shop" || got[0].Production == nil || got[0].Sandbox == nil || got[0].Default != apns.Production {
		t.Errorf("apps: %+v", got)
	}
	if want := filepath.Join(dir, "aviso-data"); c.engine.Store.Dir != want {
		t.Errorf("data is in %s, want %s", c.engine.Store.Dir, want)
	}

	// With the # of every key taken away, it says something about every key, and
	// shows the defaults that hold. A text has one space after its #.
	comment := regexp.MustCompile(`(?m)^( *)#((?:  +)?[a-z_-]+:)`)
	full := comment.ReplaceAllString(exampleConfig, "$1$2")
	key, err := os.ReadFile(filepath.Join(dir, "AuthKey_ABC123DEFG.p8"))
	if err != nil {
		t.Fatal(err)
	}
	sandbox, err := selfSigned("Apple Push Services: com.example.old", time.Now().AddDate(0, 1, 0))
	if err != nil {
		t.Fatal(err)
	}
	program, err := selfSigned("Apple Push Services: com.example.app", time.Now().AddDate(-1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"full.yaml": full, "api-key": strings.Repeat("k", 32), "nats.creds": "x", "push.p12": string(sandbox), "push-sandbox.pem": string(sandbox),
		"gateway.pem": string(sandbox), "gateway-password": "", "old-push.pem": string(program),
		"push-password": "x", "ca.pem": string(sandbox), "ABC123DEFG.p8": string(key),
	} {
		write(t, filepath.Join(dir, name), text)
	}
	c, _, err = loadConfig(configSource{file: filepath.Join(dir, "full.yaml")})
	// On a cluster the log has no limit of its own, so one complaint is right.
	if err == nil || strings.Contains(err.Error(), "problems") || !strings.Contains(err.Error(), "engine.max_bytes: bounds the log") {
		t.Fatalf("%v\n%s", err, full)
	}
	for name, kind := range serverKeys {
		if kind == kindSecret { // which belongs into a variable
			if !strings.Contains(exampleConfig, keyVariable(name)) {
				t.Errorf("the example says nothing about %s", keyVariable(name))
			}
		} else if s, ok := c.settings[name]; !ok || s.origin == "default" {
			t.Errorf("the example says nothing about %s", name)
		} else if d, ok := defaults[name]; ok && fmt.Sprint(s.value) != d {
			t.Errorf("the example says that %s is %v by default, but it is %s", name, s.value, d)
		}
	}
	for name := range appKeys {
		key := name[strings.LastIndexByte(name, '.')+1:]
		if !strings.Contains(full, " "+key+":") && !strings.Contains(exampleConfig, "("+key+")") && !(strings.HasSuffix(key, "_pem") || key == "password") {
			t.Errorf("the example says nothing about %s of an app", key)
		}
	}
}

func TestConfigProblems(t *testing.T) {
	for name, test := range map[string]struct {
		file    string
		environ []string
		want    []string
	}{
		"unknown keys": {
			"listn: x\nengine:\n  windwo: 5\n  replicas: 3\nurls: x\n" + shop + "    topic: x\n",
			nil,
			[]string{`listn: unknown key; did you mean "listen"?`, `engine.windwo: unknown key; did you mean "window"?`,
				`engine.replicas: unknown key; did you mean nats.replicas?`, `urls: unknown key; did you mean nats.urls?`, `apps.shop.topic: unknown key; did you mean "bundle_id"?`},
		},
		"not YAML":               {"listen: [", nil, []string{"aviso.yaml cannot be read: yaml: "}},
		"twice":                  {"listen: a\nlisten: b", nil, []string{`"listen" already defined`}},
		"no unit":                {"engine:\n  lease: 30" + shop, nil, []string{"engine.lease: is 30 without a unit; write 30s, 30m or 30h"}},
		"a number for a text":    {strings.ReplaceAll(shop, "A1B2C3D4E5", "1234567890"), nil, []string{"apps.shop.team: is 1234567890, which YAML does not take for a text; put it in quotes"}},
		"too small":              {"memory_limit: 1MB\nengine:\n  window: 5\n  verdict_bytes: 1kB" + shop, nil, []string{"memory_limit: is 976.6 KiB; below 32 MiB", "engine.window: is 5; it has to hold", "engine.verdict_bytes: is 1000; it has to be 16 MiB"}},
		"sections":               {"api: yes\nlisten: {}\nengine:\n" + shop, nil, []string{"api: has to be a section with the keys key, key_file", "listen: has to be a single value"}},
		"nothing":                {"", nil, []string{"apps: there is no app to send for"}},
		"an empty value":         {"listen:\n" + shop, nil, []string{"listen: has no value"}},
		"ids":                    {"apps:\n  Shop: {key: x}\n  a.b: {key: x}", nil, []string{`apps: "Shop" cannot be the id`, `apps: "a.b" cannot be the id`, "apps.Shop.key: open", "apps.Shop.team: is missing"}},
		"no team":                {strings.ReplaceAll(shop, "team:", "rate: 5 #"), nil, []string{"apps.shop.team: is missing"}},
		"no key":                 {"apps:\n  shop: {team: A1B2C3D4E5}", nil, []string{"apps.shop.team: belongs to a credential"}},
		"neither":                {"apps:\n  shop: {bundle_id: com.example.app}", nil, []string{"apps.shop: has no credential"}},
		"both":                   {shop + "    certificate: x", nil, []string{"apps.shop.certificate: and key exclude each other"}},
		"environment":            {shop + "    environment: staging", nil, []string{`apps.shop.environment: is "staging"; it has to be production`}},
		"other environment":      {"apps:\n  shop:\n    environment: production\n    sandbox: {key: AuthKey_ABC123DEFG.p8, team: A1B2C3D4E5}", nil, []string{"apps.shop.environment: is production, for which the app has no credential"}},
		"bundle":                 {strings.ReplaceAll(shop, "com.example.app", "<bundle>"), nil, []string{"apps.shop: bundle_id:"}},
		"endpoint":               {shop + "    endpoint: http://x", nil, []string{"apps.shop: endpoint: has scheme http"}},
		"password":               {shop + "    password_file: x", nil, []string{"apps.shop.password_file: belongs to certificate"}},
		"rate":                   {shop + "    rate: -1", nil, []string{`apps.shop.rate: is "-1"; it has to be a number from 0`}},
		"replicas":               {"nats: {replicas: 3}" + shop, nil, []string{"nats.replicas: belongs to nats.urls"}},
		"short key":              {"api: {key_file: short}" + shop, nil, []string{"api.key_file: holds an API key of 5 characters"}},
		"a topic for a bundle":   {strings.ReplaceAll(shop, "com.example.app", "com.example.app.voip"), nil, []string{"apps.shop.bundle_id: ends in .voip, which is added for its push type; give com.example.app"}},
		"an app ID for a bundle": {strings.ReplaceAll(shop, "com.example.app", "A1B2C3D4E5.com.example.app"), nil, []string{"apps.shop.bundle_id: begins with the id of the team"}},
		"everything at once": {
			"listen: 0.0.0.0:1\nengine: {lease: 30}\n" + strings.ReplaceAll(shop, "A1B2C3D4E5", "A1B2") + "    environment: prod\n    rate: fast\n  news: {certificate: nothing.pem, team: x}\n", nil,
			[]string{"engine.lease: is 30", "apps.shop.environment: is \"prod\"", "apps.shop.team: ", "apps.shop.rate: ", "apps.news.certificate: open", "apps.news.team: belongs to key"},
		},
		"two documents":            {shop + "---\napps: {b: {bundle_id: com.example.b}}\n", nil, []string{"more than one YAML document"}},
		"an empty document before": {"---\n---" + shop, nil, []string{"more than one YAML document"}},
		"something after the end":  {shop + "...\nnonsense: 1\n", nil, []string{"more than one YAML document"}},
		"no file and text":         {shop + "    key_pem: x", nil, []string{"apps.shop.key_pem: and apps.shop.key exclude each other"}},
		"text without its id":      {strings.ReplaceAll(shop, "key: AuthKey_ABC123DEFG.p8", "key_pem: x"), nil, []string{"apps.shop.key_id: is missing"}},
		"proxy":                    {shop + "    proxy: ftp://me:secret@proxy.example:1", nil, []string{`apps.shop.proxy: has the scheme "ftp"`}},
		"no proxy":                 {shop + "    proxy: proxy.example", nil, []string{"apps.shop.proxy: has to be a URL"}},
		"an empty ca":              {shop + "    ca: empty", nil, []string{"apps.shop.ca: "}},
		"variables": {
			shop, []string{"AVISO_LISTEN=x", "AVISO_ENGINE_LESE=1s", "AVISO_LISTN=x", "AVISO_APPS_SHOP_TOPIC=x", "AVISO_APPS_SHOP_RATE=many", "AVISO_API_KEY=short", "AVISO_SERVER=http://x", "AVISO_PORT=tcp://x", "AVISO_PORT_2199_TCP_ADDR=x", "AVISO_PUSH_SERVICE_HOST=x"},
			[]string{"AVISO_LISTEN: has to be HOST:PORT", `AVISO_ENGINE_LESE: unknown environment variable; did you mean "AVISO_ENGINE_LEASE"?`, `AVISO_LISTN: unknown environment variable; did you mean "AVISO_LISTEN"?`,
				"AVISO_APPS_SHOP_TOPIC: unknown environment variable; it has to be AVISO_APPS_<ID>_<KEY>", `AVISO_APPS_SHOP_RATE: is "many"`, "AVISO_API_KEY: holds an API key of 5 characters"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := configDir(t, map[string]string{"aviso.yaml": test.file, "short": "12345", "empty": ""})
			_, _, err := loadConfig(configSource{file: filepath.Join(dir, "aviso.yaml"), environ: test.environ})
			if err == nil {
				t.Fatal("taken")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in\n%v", want, err)
				}
			}
			if n := max(1, strings.Count(err.Error(), "\n")); n != len(test.want) {
				t.Errorf("%d problems, want %d:\n%v", n, len(test.want), err)
			}
		})
	}
}

func TestConfigEnvironmentAlone(t *testing.T) {
	dir := configDir(t, nil)
	c, warnings, err := loadConfig(configSource{
		environ: []string{
			"AVISO_DATA=" + dir, "AVISO_APPS_MY_SHOP_KEY=" + filepath.Join(dir, "AuthKey_ABC123DEFG.p8"), "AVISO_APPS_MY_SHOP_TEAM=A1B2C3D4E5",
			"AVISO_APPS_MY_SHOP_SANDBOX_ENDPOINT=127.0.0.1:1", "AVISO_ENGINE_VERDICT_AGE=2d", "AVISO_NATS_URLS=nats://a,nats://b", "AVISO_NATS_REPLICAS=1",
			"AVISO_VERSION=1", "AVISO_API_KEY=01234567890123456789",
		},
		flags: map[string]flagValue{"listen": {"--listen", "127.0.0.1:1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "AVISO_VERSION") {
		t.Errorf("warnings: %q", warnings)
	}
	if len(c.engine.Apps) != 1 || c.engine.Apps[0].ID != "my_shop" || c.engine.Apps[0].Sandbox.Endpoint != "127.0.0.1:1" || c.engine.Apps[0].Production.Endpoint != "" {
		t.Errorf("apps: %+v", c.engine.Apps)
	}
	if c.engine.VerdictAge != 48*time.Hour || c.engine.Store.URLs != "nats://a,nats://b" || c.engine.Store.Replicas != 1 || c.listen != "127.0.0.1:1" || c.apiKey != "01234567890123456789" {
		t.Errorf("%+v", c)
	}
}

// The environment wins over the file, and - and _ are the same in a variable.
func TestConfigVariableOfKnownApp(t *testing.T) {
	dir := configDir(t, map[string]string{"aviso.yaml": strings.ReplaceAll(shop, "shop", "my-shop")})
	c, _, err := loadConfig(configSource{
		file: filepath.Join(dir, "aviso.yaml"), environ: []string{"AVISO_APPS_MY_SHOP_BUNDLE_ID=com.example.other", "AVISO_APPS_MY_SHOP_PRODUCTION_KEY_ID=ZZZ123DEFG"},
	})
	if err != nil {
		t.Fatal(err)
	}
	app := c.engine.Apps[0]
	if len(c.engine.Apps) != 1 || app.ID != "my-shop" || app.BundleID != "com.example.other" || app.Production.Key.KeyID() != "ZZZ123DEFG" || app.Sandbox.Key.KeyID() != "ABC123DEFG" {
		t.Errorf("apps: %+v", c.engine.Apps)
	}
}

// A certificate says where it can be used; below an environment it is for that.
func TestConfigCertificates(t *testing.T) {
	cert, err := selfSigned("Apple Push Services: com.example.app", time.Now().AddDate(0, 1, 0))
	if err != nil {
		t.Fatal(err)
	}
	dir := configDir(t, map[string]string{"push.pem": string(cert), "aviso.yaml": `
apps:
  shop:
    key: AuthKey_ABC123DEFG.p8
    team: A1B2C3D4E5
    production:
      certificate: push.pem
  lone:
    sandbox:
      certificate: push.pem
`})
	c, _, err := loadConfig(configSource{file: filepath.Join(dir, "aviso.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	lone, shop := c.engine.Apps[0], c.engine.Apps[1]
	if lone.Production != nil || lone.Sandbox.Certificate == nil || lone.Default != apns.Sandbox || lone.BundleID != "com.example.app" {
		t.Errorf("%+v", lone)
	}
	if shop.Production.Certificate == nil || shop.Production.Key != nil || shop.Sandbox.Key == nil || shop.Sandbox.Certificate != nil {
		t.Errorf("%+v", shop)
	}
}

func TestParseSizesAndTimes(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "1024": 1024, "400MiB": 400 << 20, "4 GB": 4e9, "1.5KiB": 1536, "7B": 7} {
		if got, err := parseBytes(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "many", "5 apples", "-1", "1e40TiB", "NaN"} {
		if got, err := parseBytes(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
	for text, want := range map[string]time.Duration{"30s": 30 * time.Second, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "0s": 0} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "30", "-1s", "1000000d", "soon"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
