package cli

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"aviso.example/auth"
)

// leakChecked fails the run when goroutines are left over.
type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	code := m.M.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"aviso": func() { os.Exit(Main()) }})
}

// TestScripts runs the transcripts of testdata/script. Their own commands are:
//
//	exits CODE COMMAND…      runs a command and checks its exit code
//	start NAME COMMAND…      starts aviso in the background and waits until it is
//	                         ready; $NAME_apns and $NAME_api are its addresses,
//	                         $NAME_host the last one without a scheme
//	                         $NAME_server, $NAME_first, and the lines to paste
//	                         $NAME_push and $NAME_verdict, are dev's
//	stop NAME                sends SIGINT and expects exit code 0
//	old NAME CA CERT [DEVICE]     sends over the binary protocol, or without DEVICE
//	                         reads the feedback service
//	api NAME METHOD PATH [BODY]   asks the test API; see the answer with stdout
//	makekey FILE             makes a signing key
//	makecert FILE CN DAYS    makes a self-signed certificate with its key
//	makesite DIR             makes the source of a push package in DIR, and beside
//	                         it website.pem, wwdr.cer, other.cer and root.cer
//	makechain DIR KIND TYPE DAYS  makes what Apple issues for a pass or order type:
//	                         certificate.pem, wwdr.pem and root.pem
//	mode FILE OCTAL          checks the permissions of a file
//	pushservice NAME…        starts a push service for Web Push; it writes ca.pem, and
//	                         NAME.json with a subscription for each answer
//	received                 prints what the push service got last
//	commands PAGE HEADING [N…]  runs the commands that a page of docs shows under a
//	                         heading, one after the other, or those of blocks N
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, "DEVICE="+devDeviceToken, "TMPDIR="+e.Getenv("WORK"))
			e.Values[backgroundKey("all")] = map[string]*background{}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exitsCommand, "start": startCommand, "stop": stopCommand, "api": apiCommand, "old": oldCommand,
			"makekey": makeKeyCommand, "makecert": makeCertCommand, "mode": modeCommand,
			"makesite":    makeSiteCommand,
			"pushservice": pushServiceCommand, "received": receivedCommand,
			"makechain": makeChainCommand,
			"commands":  commandsCommand,
		},
	})
}

func exitsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// background is a command that a script started.
type background struct {
	cmd    *exec.Cmd
	ended  bool
	output chan []byte // the rest of standard output
	stderr bytes.Buffer

	service *pushService // of pushservice, which is no command
}

type backgroundKey string

var readyLine = regexp.MustCompile(`^ready (\w+) (\S+)$`)

func startCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: start NAME COMMAND…")
	}
	name := args[0]
	cmd := exec.Command("aviso", args[1:]...)
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = append(os.Environ(), "TMPDIR="+ts.Getenv("WORK"))
	for _, name := range []string{apiKeyVariable, configVariable} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	b := &background{cmd: cmd, output: make(chan []byte, 1)}
	cmd.Stderr = &b.stderr
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		if !b.ended {
			b.cmd.Process.Kill()
			<-b.output
			b.cmd.Wait()
		}
	})
	r := bufio.NewReader(out)
	wanted := 2 // addresses
	if args[1] == "serve" || slices.Contains(args, "--api=") {
		wanted = 1
	}
	for _, flag := range []string{"--also-listen", "--binary", "--feedback"} {
		if args[1] == "simulate" && slices.Contains(args, flag) {
			wanted++
		}
	}
	for wanted > 0 {
		line, err := r.ReadString('\n')
		if err != nil {
			b.output <- nil
			ts.Fatalf("%v ended before it was ready: %s", args[1:], b.stderr.String())
		}
		line = strings.TrimSpace(line)
		var m struct {
			Endpoint, API  string
			Server, App    string
			FirstPush      verdict `json:"first_push"`
			Next           devNext
			Ready, Address string
			KeyFile        string `json:"key_file"`
			CAFile         string `json:"ca_file"`
		}
		switch {
		case readyLine.MatchString(line):
			found := readyLine.FindStringSubmatch(line)
			ts.Setenv(name+"_"+found[1], found[2])
			ts.Setenv(name+"_host", strings.TrimPrefix(found[2], "http://"))
			wanted--
		case json.Unmarshal([]byte(line), &m) == nil && m.Ready != "":
			ts.Setenv(name+"_"+m.Ready, m.Address)
			ts.Setenv(name+"_host", strings.TrimPrefix(m.Address, "http://"))
			wanted--
		case m.Endpoint != "":
			ts.Setenv(name+"_apns", m.Endpoint)
			ts.Setenv(name+"_api", m.API)
			ts.Setenv(name+"_key", m.KeyFile)
			ts.Setenv(name+"_ca", m.CAFile)
			ts.Setenv(name+"_server", m.Server)
			ts.Setenv(name+"_host", strings.TrimPrefix(m.Server, "http://"))
			ts.Setenv(name+"_first", m.FirstPush.ID)
			ts.Setenv(name+"_push", m.Next.Push)
			ts.Setenv(name+"_verdict", m.Next.Verdict)
			wanted = 0
		default:
			ts.Fatalf("not a ready line: %q", line)
		}
	}
	go func() {
		rest, _ := io.ReadAll(r)
		b.output <- rest
	}()
	backgrounds(ts)[name] = b
}

func backgrounds(ts *testscript.TestScript) map[string]*background {
	return ts.Value(backgroundKey("all")).(map[string]*background)
}

func stopCommand(ts *testscript.TestScript, _ bool, args []string) {
	b := backgrounds(ts)[args[0]]
	if b == nil {
		ts.Fatalf("nothing is called %s", args[0])
	}
	b.ended = true
	ts.Check(b.cmd.Process.Signal(os.Interrupt))
	rest := <-b.output
	if err := b.cmd.Wait(); err != nil {
		ts.Fatalf("%s: %v: %s", args[0], err, b.stderr.String())
	}
	if len(rest) > 0 {
		ts.Fatalf("%s printed more after it was ready: %q", args[0], rest)
	}
}

func apiCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: api NAME METHOD PATH [BODY]")
	}
	body := ""
	if len(args) > 3 {
		body = args[3]
	}
	req, err := http.NewRequest(args[1], ts.Getenv(args[0]+"_api")+args[2], strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	ts.Check(err)
	ts.Stdout().Write(answer)
	if res.StatusCode >= 300 {
		ts.Fatalf("the test API answered %s: %s", res.Status, answer)
	}
}

func makeKeyCommand(ts *testscript.TestScript, _ bool, args []string) {
	key, err := auth.GenerateSigningKey(keyOfName(args[0]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), key.PEM(), 0o600))
}

func keyOfName(name string) string {
	id, _ := strings.CutPrefix(strings.TrimSuffix(filepath.Base(name), ".p8"), "AuthKey_")
	if auth.ValidateKeyID(id) != nil {
		return ""
	}
	return id
}

func makeCertCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: makecert FILE COMMON_NAME DAYS")
	}
	days, err := strconv.Atoi(args[2])
	ts.Check(err)
	pem, err := selfSigned(args[1], time.Now().AddDate(0, 0, days))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), pem, 0o600))
}

// selfSigned makes what APNs would not take, and the simulator takes at its word.
func selfSigned(commonName string, until time.Time) ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	_, topic, _ := strings.Cut(commonName, ": ")
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: until.AddDate(-1, 0, 0), NotAfter: until,
		Subject: pkix.Name{
			CommonName: commonName, OrganizationalUnit: []string{devTeam},
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: []int{0, 9, 2342, 19200300, 100, 1, 1}, Value: topic}},
		},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...), nil
}

func makeChainCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 || args[1] != "pass" && args[1] != "order" {
		ts.Fatalf("usage: makechain DIR pass|order TYPE DAYS")
	}
	days, err := strconv.Atoi(args[3])
	ts.Check(err)
	// It is valid for a year.
	ts.Check(writeTestCertificate(ts.MkAbs(args[0]), args[2], sampleTeam, args[1] == "order", time.Now().AddDate(-1, 0, days)))
}

// commandsCommand keeps a page's promise that its commands can be run.
func commandsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: commands PAGE HEADING [N…]")
	}
	content, err := os.ReadFile(filepath.Join(docs, args[0]))
	ts.Check(err)
	_, section, found := strings.Cut(string(content), "\n## "+args[1]+"\n")
	if !found {
		ts.Fatalf("%s has no heading %q", args[0], args[1])
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var script strings.Builder
	block := 0
	for i, part := range strings.Split(section, "```") {
		if commands, ok := strings.CutPrefix(part, "sh\n"); ok && i%2 == 1 {
			if block++; len(args) == 2 || slices.Contains(args[2:], strconv.Itoa(block)) {
				script.WriteString(commands)
			}
		}
	}
	if script.Len() == 0 {
		ts.Fatalf("%s shows no such commands under %q", args[0], args[1])
	}
	ts.Check(ts.Exec("sh", "-eux", "-c", script.String()))
}

// docs is the folder of the pages; scripts run elsewhere.
var docs = func() string {
	dir, err := filepath.Abs(filepath.Join("..", "..", "docs"))
	if err != nil {
		panic(err)
	}
	return dir
}()

func modeCommand(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.ParseUint(args[1], 8, 32)
	ts.Check(err)
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := info.Mode().Perm(); got != os.FileMode(want) {
		ts.Fatalf("%s has mode %o, want %o", args[0], got, want)
	}
}
