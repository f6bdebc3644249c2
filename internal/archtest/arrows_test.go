package archtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "aviso.example"

// layers, from the top. A package imports packages of lower layers only, never
// one beside it: what two neighbours need belongs below both. A new package has
// to be put into one of them.
var layers = []struct {
	why      string
	packages []string
}{
	{"a main function and nothing else, so that everything can be tested without a process", []string{"cmd/aviso"}},
	{"one file per command; the only place that knows every part", []string{"internal/cli"}},
	{"the web page is a client of the API and of the simulator's API", []string{"internal/console"}},
	{"old programs of the binary protocol meet today's client", []string{"legacy/gateway"}},
	{"a client and a simulator in one line, for who tests with both of ours", []string{"apnstest/apnsclient"}},
	{"servers and helpers made of the parts below", []string{"apnstest", "internal/api", "internal/exampleapns", "legacy", "wallet/sqlite", "wallet/webservice/storetest"}},
	{
		"independent trades: whoever signs passes, sends Web Push, simulates APNs or queues jobs needs none of the others",
		[]string{"engine", "liveactivity", "sim", "wallet", "wallet/webservice", "safari", "webpush"},
	},
	{
		"sending to channels is sending, with another address; the user's words become Go's in one place, whether they come as flags, in a file or over HTTP",
		[]string{"broadcast", "internal/message"},
	},
	{"the provider client; payloads are its neighbours and not its business, it sends any bytes", []string{"apns", "payload"}},
	{"identity, and which connection takes the next request; neither knows what is sent", []string{"auth", "internal/pool"}},
	{"one HTTP/2 connection, which knows nothing of APNs", []string{"internal/h2"}},
	{"a file that somebody named is opened once it is known that the name is not the secret itself", []string{"internal/namedfile"}},
	{
		"tools and vocabulary that know nothing of the rest",
		[]string{
			"internal/archtest", "internal/await", "internal/bundle", "internal/cms", "internal/cmstest", "internal/cputime", "internal/endwith",
			"internal/endwith/endwithtest", "internal/keyindex", "internal/listen", "internal/memnet", "internal/passsample", "internal/passview", "internal/proto",
			"internal/retryafter", "internal/roots", "internal/secret", "internal/service", "internal/suggest",
		},
	},
}

// keptApart lists what must not be reached, not even through others. It is
// stricter than the layers.
var keptApart = []struct {
	from string
	to   []string
	why  string
}{
	{
		"sim",
		[]string{"apns", "auth", "broadcast", "internal/h2", "internal/pool", "legacy", "payload"},
		"client and simulator share internal/proto and never a codec: a mistake made on both sides would look like agreement",
	},
	{"apnstest", []string{"apns", "auth", "internal/h2", "internal/pool", "legacy"}, "as with sim: it must serve the tests of any client"},
	{"apns", []string{"sim", "apnstest", "internal/memnet", "engine"}, "a program that sends pushes must not carry a simulator"},
	{"payload", []string{"apns", "auth", "internal/h2", "internal/pool"}, "payloads are built and checked where nothing is sent"},
	{"broadcast", []string{"sim", "apnstest", "engine"}, "as apns"},
	{"liveactivity", []string{"sim", "apnstest", "engine"}, "as apns; one who keeps the state of an activity may send without a server of ours"},
	{"wallet", []string{"apns", "auth", "engine"}, "a pass is a file; that a push says when to fetch it again is the caller's business"},
	{"wallet/webservice", []string{"sim", "apnstest", "engine", "wallet", "wallet/sqlite"}, "it answers with bytes that the caller made, wherever the caller keeps them, and pushes through any client"},
	{"wallet/sqlite", []string{"sim", "apnstest", "engine", "wallet"}, "it keeps what a web service has to remember, which is not passes"},
	{"safari", []string{"apns", "auth", "engine"}, "a push package is a file"},
	{
		"webpush",
		[]string{"apns", "auth", "engine", "sim", "internal/h2", "internal/pool", "internal/proto", "internal/memnet"},
		"standard Web Push has nothing to do with APNs but the user, and it goes to many origins with few messages each: that is net/http's trade",
	},
	{"internal/h2", []string{"internal/proto"}, "it knows nothing of APNs, so that its tests speak of HTTP/2 only"},
	{"internal/pool", []string{"internal/proto"}, "as internal/h2"},
	{
		"legacy",
		[]string{"sim", "apnstest", "internal/memnet", "engine", "payload"},
		"it relays to the provider client and needs no queue; the simulator's ports of the binary protocol have a codec of their own, so that neither proves itself",
	},
	{"legacy/gateway", []string{"sim", "apnstest", "internal/memnet", "engine", "payload"}, "as legacy: a bridge needs no queue, since the old program is one"},
	{
		"internal/passview",
		[]string{"apns", "auth", "engine", "internal/cms", "wallet"},
		"it draws what it can of a pass that has mistakes, so it reads pass.json by itself and leaves judging to package wallet",
	},
	{"wallet", []string{"internal/passsample", "internal/passview"}, "a program that signs passes needs no picture of them"},
	{"engine", []string{"sim", "apnstest"}, "a server that sends pushes must not carry a simulator"},
}

// soleImporters lists dependencies, by prefix, and who alone may import them.
var soleImporters = []struct {
	dependency string
	importers  []string
	why        string
}{
	{"golang.org/x/net/http2", []string{"internal/h2", "sim"}, "one codec on the client side, another use of it on the server side; its Transport and Server are deprecated"},
	{"software.sslmate.com/src/go-pkcs12", []string{"auth"}, "reading keys is auth's"},
	{"github.com/golang-jwt/jwt", []string{"sim", "apnstest"}, "auth signs with the standard library and the simulator verifies with this, so that neither proves itself"},
	{"github.com/nats-io/", []string{"engine"}, "the log can then be replaced, and nobody else depends on its promises"},
	{"modernc.org/sqlite", []string{"wallet/sqlite"}, "a database is one way to keep registrations; who has another pays nothing for it"},
	{"pgregory.net/rapid", []string{"wallet/webservice/storetest"}, "random stories are for tests, and for the suite that other people's tests call"},
	{"github.com/google/go-cmp", []string{"wallet/webservice/storetest"}, "as rapid"},
	{"github.com/smallstep/pkcs7", []string{"internal/cms"}, "detached signatures are made in one place"},
	{"go.etcd.io/bbolt", []string{"legacy/gateway"}, "the feedback list is the one small thing the gateway has to remember across restarts"},
	{module + "/internal/cmstest", nil, "it is for tests, which are not looked at here"},
	{"github.com/danielgtaylor/huma", []string{"internal/api"}, "HTTP is the API's"},
	{"github.com/prometheus/", []string{"internal/api"}, "figures leave the process over HTTP; everything else counts in numbers of its own and is asked for them"},
	{"github.com/spf13/", []string{"internal/cli"}, "flags are the command's; libraries take a Config"},
	{"github.com/schollz/progressbar", []string{"internal/cli"}, "only a person looks at progress"},
	{"github.com/lmittmann/tint", []string{"internal/cli"}, "libraries take a *slog.Logger and know nothing of terminals"},
	{"golang.org/x/term", []string{"internal/cli"}, "as tint"},
	{"github.com/knadh/koanf", []string{"internal/cli"}, "libraries take a Config and know nothing of files"},
	{"github.com/fsnotify/fsnotify", []string{"internal/cli"}, "as koanf: what is in a file, and when it changes, is the command's"},
	{"github.com/boombuler/barcode", []string{"internal/passview"}, "barcodes are only drawn for a person to look at: a device draws its own"},
	{"codeberg.org/go-fonts/", []string{"internal/passview"}, "as the barcodes; a program that signs passes must not carry fonts"},
	{"github.com/go-playground/locales", []string{"internal/passview"}, "as the barcodes; dates and numbers in a pass are written by the device"},
	{"golang.org/x/image", []string{"internal/passview", "internal/passsample"}, "as the barcodes, and for the placeholder images of a sample"},
	{"flag", nil, "package flag registers globals; commands use cobra"},
	{"log", nil, "log/slog is used throughout"},
	{"testing", []string{"apnstest", "apnstest/apnsclient", "internal/await", "internal/memnet", "wallet/webservice/storetest"}, "it belongs in tests and in what helps them"},
	{module + "/apnstest", []string{"apnstest/apnsclient"}, "it is for tests, which are not looked at here"},
	{module + "/wallet/webservice/storetest", nil, "as apnstest"},
	{module + "/internal/exampleapns", nil, "it is for examples, which are tests"},
	{module + "/internal/memnet", []string{"apnstest"}, "a network inside the process is for tests"},
	{module + "/internal/await", nil, "it waits in tests"},
	{module + "/internal/cputime", nil, "it bounds work in tests; a program that has to know its processor time asks for its own reasons"},
	{module + "/internal/endwith/endwithtest", nil, "it holds a moment still for tests"},
}

// linkedBy bounds what a program gets that imports one of ours.
var linkedBy = []struct {
	pkg     string
	modules []string
	why     string
}{
	{
		"apns",
		[]string{"golang.org/x/net", "golang.org/x/crypto", "golang.org/x/text", "golang.org/x/sys", "software.sslmate.com/src/go-pkcs12"},
		"a program that sends pushes gets the standard library, its extensions and the one reader of modern .p12 files",
	},
	{
		"legacy",
		[]string{"golang.org/x/net", "golang.org/x/crypto", "golang.org/x/text", "golang.org/x/sys", "software.sslmate.com/src/go-pkcs12"},
		"the binary protocol needs no dependency beyond what the provider client has",
	},
	{"payload", []string{"github.com/rivo/uniseg"}, "building a payload needs no network; uniseg knows where a grapheme ends"},
	{
		"liveactivity",
		[]string{"golang.org/x/net", "golang.org/x/crypto", "golang.org/x/text", "golang.org/x/sys", "software.sslmate.com/src/go-pkcs12", "github.com/rivo/uniseg"},
		"what apns and payload link, and nothing for channels and activities on top",
	},
	{"internal/cms", []string{"github.com/smallstep/pkcs7"}, "it signs bytes with a key, and reads what others signed with the standard library"},
	{"safari", []string{"github.com/smallstep/pkcs7", "golang.org/x/time"}, "a push package is a file, and its web service is small"},
	{"internal/bundle", nil, "a package is a zip and a list of hashes: the standard library has both"},
	{
		"wallet/webservice",
		[]string{"golang.org/x/net", "golang.org/x/crypto", "golang.org/x/text", "golang.org/x/sys", "golang.org/x/time", "software.sslmate.com/src/go-pkcs12"},
		"what apns links, and a limit for the log endpoint; a database is the caller's choice",
	},
	{
		"wallet",
		[]string{"github.com/smallstep/pkcs7", "golang.org/x/text"},
		"whoever signs passes needs no network: signatures, and the character sets of barcodes",
	},
	{"webpush", []string{"golang.org/x/sync"}, "its cryptography and HTTP are the standard library's; the semaphore of x/sync can be waited on with a context"},
	{"internal/h2", []string{"golang.org/x/net", "golang.org/x/text"}, "HTTP/2 needs its framer and header compression"},
}

func TestImportsPointDown(t *testing.T) {
	level := map[string]int{}
	for i, l := range layers {
		for _, p := range l.packages {
			level[p] = i
		}
	}
	for name, p := range packages(t) {
		own, ok := level[name]
		if !ok {
			t.Errorf("package %s stands in no layer: add it to layers in arrows_test.go, where its imports may point down only", name)
			continue
		}
		for _, imported := range p.Imports {
			other, ours := strings.CutPrefix(imported, module+"/")
			if !ours || other == name {
				continue
			}
			if below, ok := level[other]; ok && below <= own {
				t.Errorf("%s imports %s, which is not below it.\n\t%s: %s\n\t%s: %s", name, other, name, layers[own].why, other, layers[below].why)
			}
		}
	}
}

func TestKeptApart(t *testing.T) {
	all := packages(t)
	for _, rule := range keptApart {
		p, ok := all[rule.from]
		if !ok {
			continue // not written yet
		}
		for _, to := range rule.to {
			if slices.Contains(p.Deps, module+"/"+to) {
				t.Errorf("%s reaches %s: %s", rule.from, to, rule.why)
			}
		}
	}
}

func TestSoleImporters(t *testing.T) {
	for name, p := range packages(t) {
		for _, imported := range p.Imports {
			for _, rule := range soleImporters {
				under := imported == rule.dependency || strings.HasPrefix(imported, rule.dependency+"/") ||
					strings.HasSuffix(rule.dependency, "/") && strings.HasPrefix(imported, rule.dependency)
				if rule.dependency == "log" {
					under = imported == "log" // log/slog is another matter
				}
				if under && !slices.Contains(rule.importers, name) {
					t.Errorf("%s imports %s, which is for %v only: %s", name, imported, rule.importers, rule.why)
				}
			}
		}
	}
}

func TestLinkedModules(t *testing.T) {
	for _, rule := range linkedBy {
		got := map[string]string{}
		for _, p := range goList(t, "-deps", "./"+rule.pkg) {
			if !p.Standard && p.Module != nil && p.Module.Path != module {
				got[p.Module.Path] = p.ImportPath
			}
		}
		for m, example := range got {
			if !slices.Contains(rule.modules, m) {
				t.Errorf("importing %s links %s (%s): %s", rule.pkg, m, example, rule.why)
			}
		}
	}
}

// goPackage is what we need of `go list -json`.
type goPackage struct {
	ImportPath, Dir, Doc string
	Standard             bool
	Imports, Deps        []string
	GoFiles              []string
	Module               *struct{ Path string }
}

// packages returns the packages of this module by their path inside it, tests
// left out: a test may look at whatever it likes.
func packages(t *testing.T) map[string]goPackage {
	t.Helper()
	all := map[string]goPackage{}
	for _, p := range everything(t) {
		all[strings.TrimPrefix(p.ImportPath, module+"/")] = p
	}
	if len(all) < 5 {
		t.Fatalf("found only %d packages in %s", len(all), root)
	}
	return all
}

var (
	root       = filepath.Join("..", "..")
	everything = func() func(t *testing.T) []goPackage {
		var once sync.Once
		var list []goPackage
		return func(t *testing.T) []goPackage {
			once.Do(func() { list = goList(t, "./...") })
			return list
		}
	}()
)

func goList(t *testing.T, args ...string) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Dir,Doc,Standard,Imports,Deps,GoFiles,Module"}, args...)...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		detail := ""
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			detail = string(e.Stderr)
		}
		t.Fatalf("%v: %v\n%s", cmd.Args, err, detail)
	}
	var list []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(fmt.Errorf("go list: %w", err))
		}
		list = append(list, p)
	}
}
