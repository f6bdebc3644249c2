package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"aviso.example/auth"
	"aviso.example/sim"
)

const (
	keyID  = "BENCHKEY01"
	teamID = "BENCHTEAM1"
	topic  = "com.example.bench"

	// startWithin bounds the start of a process, recovery of ten million queued
	// notifications included.
	startWithin = 2 * time.Minute
)

// simulate is the simulator's process: all checks, no record, both of Apple's
// names in its certificate for senders that know no other. It ends with its input.
func simulate(caFile string) error {
	server, err := sim.New(sim.Config{
		TrustAnyKey: true, Lean: true, UnauthenticatedMaxStreams: 1000,
		Hosts: []string{"api.push.apple.com", "api.development.push.apple.com", "api.sandbox.push.apple.com"},
	})
	if err != nil {
		return err
	}
	defer server.Close()
	addr, err := server.Start("127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := os.WriteFile(caFile, server.CAPEM(), 0o600); err != nil {
		return err
	}
	fmt.Println(addr)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// process is a child. It is killed with everything it started if it does not end.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	log bytes.Buffer
}

func start(cmd *exec.Cmd) (*process, *bufio.Reader, error) {
	p := &process{cmd: cmd}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = &p.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	return p, bufio.NewReader(out), nil
}

func (p *process) end(signal syscall.Signal) {
	p.in.Close()
	p.cmd.Process.Signal(signal)
	ended := time.AfterFunc(30*time.Second, func() { syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) })
	p.cmd.Wait()
	ended.Stop()
}

// ended says that it is over although nobody ended it.
func (p *process) ended() bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	return err != nil || bytes.HasPrefix(data[bytes.LastIndexByte(data, ')')+1:], []byte(" Z"))
}

// cpuOf is the processor time of several together.
func cpuOf(list []*process) (sum time.Duration, err error) {
	for _, p := range list {
		one, err := p.cpu()
		if err != nil {
			return 0, err
		}
		sum += one
	}
	return sum, nil
}

// cpu is the processor time a process has used.
func (p *process) cpu() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The fields after the name, which stands in brackets: state is the first,
	// utime and stime are the 12th and 13th, in hundredths of a second.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}

// memory is what a process has resident, in bytes: now, and at most so far.
func (p *process) memory() (now, most int64) {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "VmRSS:":
			now = n << 10
		case "VmHWM:":
			most = n << 10
		}
	}
	return now, most
}

type simulator struct {
	*process
	addr, caFile, keyFile string
}

func startSimulator(_ context.Context, dir string) (*simulator, error) {
	s := &simulator{caFile: filepath.Join(dir, "ca.pem"), keyFile: filepath.Join(dir, "AuthKey_"+keyID+".p8")}
	key, err := auth.GenerateSigningKey(keyID)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.keyFile, key.PEM(), 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), simulatorVariable+"="+s.caFile)
	var out *bufio.Reader
	if s.process, out, err = start(cmd); err != nil {
		return nil, err
	}
	line, err := out.ReadString('\n')
	s.addr = strings.TrimSpace(line)
	return s, err
}

func (s *simulator) stop() { s.end(syscall.SIGTERM) }

// build makes a program in the versions of the repository's own module.
func build(ctx context.Context, root, dir, path string) (string, error) {
	binary := filepath.Join(dir, filepath.Base(path))
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, path)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", path, err, out)
	}
	return binary, nil
}

// subject is a push server under measurement.
type subject interface {
	name() string
	proc() *process
	// others are processes of its own besides.
	others() []*process
	// request makes the request for so many notifications, the first of which
	// goes to device number from.
	request(from, n int) (*http.Request, error)
	// settled is how many have ended since it started.
	settled(ctx context.Context) (int64, error)
	stop()
}

// freePort is a port nobody listens on at the moment.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// waitFor asks until it answers with 200.
func waitFor(ctx context.Context, p *process, url string) (time.Duration, error) {
	began := time.Now()
	for ctx.Err() == nil && time.Since(began) < startWithin && !p.ended() {
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return time.Since(began), nil
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0, fmt.Errorf("%s did not answer within %v\n%s", url, startWithin, p.log.String())
}
