package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// processTimeout bounds one client process.
const processTimeout = 5 * time.Minute

// ended is a process that ran to its end.
type ended struct {
	stdout []byte
	cpu    float64 // seconds, of its whole life
	peak   int     // KiB resident at most
}

// run runs a process to its end.
func run(ctx context.Context, dir string, env []string, name string, args ...string) (ended, error) {
	ctx, cancel := context.WithTimeout(ctx, processTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	// Should this process be killed, its children go with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		return ended{}, err
	}
	var peak atomic.Int64
	stop := make(chan struct{})
	go watchMemory(cmd.Process.Pid, &peak, stop)
	err := cmd.Wait()
	close(stop)
	e := ended{stdout: stdout.Bytes(), peak: int(peak.Load())}
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		e.cpu = rusageSeconds(u)
	}
	if err != nil {
		said := strings.TrimSpace(stderr.String())
		err = fmt.Errorf("%s: %w: %s", name, err, said[max(0, len(said)-600):])
	}
	return e, err
}

// watchMemory keeps the most memory a process had resident. The kernel's own
// account at its end would begin with ours, from before the child became another
// program.
func watchMemory(pid int, peak *atomic.Int64, stop <-chan struct{}) {
	path := "/proc/" + strconv.Itoa(pid) + "/status"
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-stop:
			tick.Stop()
			return
		case <-tick.C:
		}
		status, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		if _, rest, ok := bytes.Cut(status, []byte("VmHWM:")); ok {
			line, _, _ := bytes.Cut(rest, []byte(" kB"))
			if n, err := strconv.ParseInt(strings.TrimSpace(string(line)), 10, 64); err == nil {
				peak.Store(n)
			}
		}
	}
}

// roleEnv makes a process of this program a server or a client.
func roleEnv(role string, s any) []string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // it is made of strings and numbers
	}
	return []string{roleVariable + "=" + role, settingsVariable + "=" + string(text)}
}

// serverProcess is the one server that all clients are measured against.
type serverProcess struct {
	serverReady
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
}

func startServer(s serverSettings) (*serverProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleEnv("server", s)...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &serverProcess{cmd: cmd}
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdout = bufio.NewReader(stdout)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if err := p.answer(&p.serverReady); err != nil {
		p.stop()
		return nil, fmt.Errorf("the server did not start: %w", err)
	}
	return p, nil
}

func (p *serverProcess) answer(v any) error {
	line, err := p.stdout.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}

// usage asks the server what it has used and done so far.
func (p *serverProcess) usage() (u serverUsage, err error) {
	if _, err := io.WriteString(p.stdin, "usage\n"); err != nil {
		return u, err
	}
	return u, p.answer(&u)
}

func (p *serverProcess) stop() {
	p.stdin.Close()
	p.cmd.Wait()
}
