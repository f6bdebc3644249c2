package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// roleVariable makes a process of this program one of the roles.
	roleVariable     = "AVISO_BENCH_GATEWAY_ROLE"
	settingsVariable = "AVISO_BENCH_GATEWAY_SETTINGS"
)

// settings is what a child is told when it starts.
type settings struct {
	Dir      string // what rig wrote
	Endpoint string // where to connect to
	Window   int    // of a gateway
	Profile  string // file for a gateway's CPU profile
}

// question is what a child is asked, one a line; answer is what it says.
type question struct {
	Op string
	// N notifications, over so many Connections. Every BadEvery-th goes to a
	// device token that APNs does not take; 0 means none.
	N, Connections, BadEvery int
	// Accepted and Rejected are how many there have to be, since the child began.
	Accepted, Rejected int64
}

type answer struct {
	Error string `json:",omitempty"`
	// Addresses of what listens.
	Addresses []string `json:",omitempty"`

	usage
	// Accepted and Rejected are notifications since the child began.
	Accepted, Rejected int64
	// Dials are connections that old programs made.
	Dials int
	// Resident is a gateway's memory after a collection, in bytes, if asked for.
	Resident int64
}

// usage is what a process has used since it began.
type usage struct {
	CPU     float64 // seconds, user and system
	Mallocs uint64
}

func used() usage {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // the argument is a constant
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{CPU: time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds(), Mallocs: m.Mallocs}
}

// child is the life of a process that is one of the roles. It ends with its
// input.
func child(role string) error {
	var s settings
	if err := json.Unmarshal([]byte(os.Getenv(settingsVariable)), &s); err != nil {
		return err
	}
	open, ok := roles[role]
	if !ok {
		return errors.New("no such role")
	}
	r, addresses, err := open(s)
	if err != nil {
		return err
	}
	defer r.close()
	said := json.NewEncoder(os.Stdout)
	if err := said.Encode(answer{Addresses: addresses}); err != nil {
		return err
	}
	for asked := json.NewDecoder(os.Stdin); ; {
		var q question
		if err := asked.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		a, err := r.answer(q)
		if err != nil {
			a.Error = err.Error()
		}
		if err := said.Encode(a); err != nil {
			return err
		}
	}
}

// role is what a child does.
type role interface {
	answer(q question) (answer, error)
	close()
}

// process is a child, seen from the one that asks.
type process struct {
	role      string
	addresses []string
	cmd       *exec.Cmd
	in        io.WriteCloser
	out       *bufio.Reader
	log       bytes.Buffer
	once      sync.Once
}

// answerTimeout bounds one answer. The longest is that all notifications of a
// row were accepted.
const answerTimeout = 2 * time.Minute

func start(role string, s settings) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	p := &process{role: role, cmd: exec.Command(self)}
	p.cmd.Env = append(os.Environ(), roleVariable+"="+role, settingsVariable+"="+string(text))
	// Should this process be killed, its children go with it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = &p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	a, err := p.hear()
	if err != nil {
		p.end()
		return nil, err
	}
	p.addresses = a.Addresses
	return p, nil
}

// ask asks one question and waits for the answer.
func (p *process) ask(q question) (answer, error) {
	if err := json.NewEncoder(p.in).Encode(q); err != nil {
		return answer{}, fmt.Errorf("%s: %w", p.role, err)
	}
	return p.hear()
}

func (p *process) hear() (a answer, err error) {
	late := time.AfterFunc(answerTimeout, func() { p.cmd.Process.Kill() })
	defer late.Stop()
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	if err != nil {
		if errors.Is(err, io.EOF) { // it has ended, and what it said is complete
			p.end()
		}
		err = fmt.Errorf("%s: %w %s", p.role, err, strings.TrimSpace(p.log.String()))
	}
	return a, err
}

func (p *process) end() {
	p.once.Do(func() {
		p.in.Close()
		late := time.AfterFunc(20*time.Second, func() { p.cmd.Process.Kill() })
		defer late.Stop()
		p.cmd.Wait()
	})
}
