package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"aviso.example/wallet"
)

// passkit is the other program, which makes passes when it is told to.
type passkit struct {
	cmd     *exec.Cmd
	ask     io.WriteCloser
	answers *bufio.Reader
}

// startPasskit installs it outside the repository, where it stays for the next
// time, and starts it.
func startPasskit(ctx context.Context, dir string, m *material) (*passkit, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = dir
	}
	home := filepath.Join(cache, "aviso-bench", "passkit")
	install := exec.CommandContext(ctx, filepath.Join("strangers", "passkit", "install"), home)
	if out, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("passkit-generator could not be installed: %w\n%s", err, out)
	}
	settings, err := m.settings()
	if err != nil {
		return nil, err
	}
	p := &passkit{cmd: exec.CommandContext(ctx, "node", filepath.Join(home, "main.cjs"))}
	p.cmd.Env = append(os.Environ(), "AVISO_BENCH_SETTINGS="+string(settings))
	p.cmd.Stderr = os.Stderr
	if p.ask, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.answers = bufio.NewReader(out)
	return p, p.cmd.Start()
}

func (p *passkit) turn(d time.Duration) (turn, error) {
	if _, err := fmt.Fprintf(p.ask, "%g\n", d.Seconds()); err != nil {
		return turn{}, err
	}
	line, err := p.answers.ReadBytes('\n')
	if err != nil {
		return turn{}, fmt.Errorf("it gave no answer: %w", err)
	}
	var t turn
	err = json.Unmarshal(line, &t)
	return t, err
}

func (p *passkit) stop() {
	p.ask.Close()
	p.cmd.Wait()
}

// verify says whether a pass is one that a device would take, if Apple had issued
// the certificate.
func (m *material) verify(pass []byte) error {
	p, err := wallet.Open(bytes.NewReader(pass), int64(len(pass)))
	if err != nil {
		return err
	}
	v := p.Verify(wallet.VerifyOptions{Roots: []*x509.Certificate{m.chain.Root}})
	if err := v.Problems.Err(); err != nil {
		return err
	}
	if v.Trust != wallet.Trusted {
		return errors.New(v.Trust.String())
	}
	return nil
}
