package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	apiKey = "aviso-crash-harness-0123456789"
	// startTime bounds a start with recovery, endTime an orderly end, whose own
	// bound is the grace.
	startTime = 60 * time.Second
	endTime   = 40 * time.Second
)

// process is a child that ends with this program, in a group of its own.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait, when done is closed
	log  *os.File
}

// start begins a process whose standard error goes to a file.
func start(name, logFile string, cmd *exec.Cmd) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: cmd, done: make(chan struct{}), log: log}
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		log.Close()
		return nil, err
	}
	return p, nil
}

// watch waits for the end; whatever reads the output has to have begun.
func (p *process) watch(output io.Reader) {
	go func() {
		if output != nil {
			io.Copy(io.Discard, output)
		}
		p.err = p.cmd.Wait()
		p.log.Close()
		close(p.done)
	}()
}

// signal reaches the whole group.
func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		syscall.Kill(-p.cmd.Process.Pid, s)
	}
}

// kill ends it at once, and returns when it is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// stop ends it in an orderly way; an error is an exit code, or that it took too
// long.
func (p *process) stop() error {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.err
	case <-time.After(endTime):
		p.kill()
		return fmt.Errorf("%s did not end within %v", p.name, endTime)
	}
}

// server is a running `aviso serve`.
type server struct {
	*process
	url string
	// took is the time from the start to the ready line, recovery included.
	took time.Duration
}

// errKilled says that a server was killed before it was ready.
var errKilled = errors.New("killed while it started")

// serve starts a server. With killAfter it is killed unless it is ready by then.
func serve(ctx context.Context, o *options, config, logFile string, killAfter time.Duration, args ...string) (*server, error) {
	began := time.Now()
	cmd := exec.Command(o.aviso, append([]string{"serve", "--config", config, "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), "AVISO_API_KEY="+apiKey)
	cmd.Dir = filepath.Dir(config)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	attend := func() error { return nil }
	if o.slow > 0 {
		if attend, err = slowed(cmd, o.slow); err != nil {
			return nil, err
		}
	}
	p, err := start("aviso", logFile, cmd)
	if err != nil {
		return nil, err
	}
	if err := attend(); err != nil {
		p.signal(syscall.SIGKILL)
		return nil, fmt.Errorf("%w:\n%s", err, tail(logFile))
	}
	s := &server{process: p}
	ready := make(chan string, 1)
	go func() {
		r := bufio.NewReader(stdout)
		line, _ := r.ReadString('\n')
		ready <- line
		p.watch(r)
	}()
	limit := startTime
	if killAfter > 0 {
		limit = killAfter
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case line := <-ready:
		url, ok := strings.CutPrefix(strings.TrimSpace(line), "ready api ")
		if !ok {
			s.kill()
			return nil, fmt.Errorf("aviso did not start (%v):\n%s", s.err, tail(logFile))
		}
		s.url, s.took = url, time.Since(began)
		return s, nil
	case <-timer.C:
		s.kill()
		if killAfter > 0 {
			return nil, errKilled
		}
		return nil, fmt.Errorf("aviso was not ready after %v:\n%s", limit, tail(logFile))
	case <-ctx.Done():
		s.kill()
		return nil, context.Cause(ctx)
	}
}

// tail returns the end of a log.
func tail(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-3000):])
}
