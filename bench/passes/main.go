// Command passes measures how many Wallet passes are signed for a second of one
// core's time, beside passkit-generator (npm) and beside the RSA signature alone,
// below which nobody can be who signs with a pass certificate.
//
// The three take turns in one run, so that whatever else the machine does, it does
// to all of them. What is counted is processor time, user and system, of the
// process that makes passes, and not the time on the wall.
package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"aviso.example/internal/passsample"
	"aviso.example/wallet"
)

const (
	passType = "pass.com.example.bench"
	team     = "A1B2C3D4E5"
	style    = "boardingPass"
)

// subject is one of those who take turns.
type subject struct {
	name string
	// run works for about a time and reports what that cost.
	run func(time.Duration) (turn, error)
}

// turn is what one turn came to.
type turn struct {
	Passes int     `json:"passes"`
	CPU    float64 `json:"cpu"`   // seconds
	Bytes  int     `json:"bytes"` // of a pass
	Last   []byte  `json:"last"`  // the last pass
}

func (t turn) rate() float64 { return float64(t.Passes) / t.CPU }

func main() {
	out := flag.String("o", "", "write the results into this `page`")
	quick := flag.Bool("quick", false, "a few seconds only, and passkit-generator left out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *out, *quick); err != nil {
		fmt.Fprintln(os.Stderr, "passes:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, quick bool) error {
	dir, err := os.MkdirTemp("", "aviso-passes-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m, err := newMaterial(dir)
	if err != nil {
		return err
	}
	// One core: the collector has no other to use either.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(100)
	subjects := []subject{{"rsa", m.signature}, {"aviso", m.pass}}
	// Short turns, and many: what else the machine does then hits neighbours alike.
	rounds, each := 25, 400*time.Millisecond
	if quick {
		rounds = 5
	} else {
		stranger, err := startPasskit(ctx, dir, m)
		if err != nil {
			return err
		}
		defer stranger.stop()
		subjects = append(subjects, subject{"passkit-generator", stranger.turn})
	}
	results := map[string][]turn{}
	for round := range rounds + 1 {
		for _, s := range subjects {
			if err := ctx.Err(); err != nil {
				return err
			}
			t, err := s.run(each)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if t.Last != nil {
				if err := m.verify(t.Last); err != nil {
					return fmt.Errorf("%s made a pass that is not valid: %w", s.name, err)
				}
			}
			if round > 0 { // the first warms up
				results[s.name] = append(results[s.name], t)
			}
		}
	}
	return report(out, m, results)
}

// material is the pass that everybody makes.
type material struct {
	chain    *passsample.Chain
	folder   string // of the source
	files    map[string][]byte
	template *wallet.Template
	model    *wallet.Pass
	size     int // of the files that are not pass.json, in bytes
	serial   int
}

func newMaterial(dir string) (*material, error) {
	now := time.Now()
	m := &material{folder: filepath.Join(dir, "source")}
	var err error
	if m.chain, err = passsample.Certificates(passType, team, false, now); err != nil {
		return nil, err
	}
	m.files, err = passsample.Files(style, passsample.Config{PassTypeIdentifier: passType, TeamIdentifier: team, SerialNumber: "P0", Now: now})
	if err != nil {
		return nil, err
	}
	for name, data := range m.files {
		path := filepath.Join(m.folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return nil, err
		}
		if name != "pass.json" {
			m.size += len(data)
		}
	}
	signer, err := wallet.NewSigner(m.chain.Leaf, m.chain.Key, m.chain.Intermediate)
	if err != nil {
		return nil, err
	}
	if m.template, err = wallet.NewTemplate(signer, m.files); err != nil {
		return nil, err
	}
	m.model, err = wallet.ParsePass(m.files["pass.json"])
	return m, err
}

// pass makes passes that differ in their serial number, each of them checked,
// encoded, hashed, signed and packed.
func (m *material) pass(d time.Duration) (turn, error) {
	var t turn
	err := forTime(d, &t, func() error {
		pass := *m.model
		m.serial++
		pass.SerialNumber = fmt.Sprintf("P%d", m.serial)
		data, err := m.template.Sign(&pass, nil)
		t.Last = data
		return err
	})
	t.Bytes = len(t.Last)
	return t, err
}

// signature makes what nobody can save: the RSA signature of one digest.
func (m *material) signature(d time.Duration) (turn, error) {
	var t turn
	digest := sha256.Sum256([]byte("signed attributes"))
	err := forTime(d, &t, func() error {
		_, err := rsa.SignPKCS1v15(rand.Reader, m.chain.Key, crypto.SHA256, digest[:])
		return err
	})
	return t, err
}

// settle is how long everybody works before it counts, since the one before has
// filled the caches with things of its own.
const settle = 50 * time.Millisecond

// forTime works for a time and counts.
func forTime(d time.Duration, t *turn, work func() error) error {
	for until := time.Now().Add(settle); time.Now().Before(until); {
		if err := work(); err != nil {
			return err
		}
	}
	before := cpu()
	for until := time.Now().Add(d); time.Now().Before(until); t.Passes++ {
		if err := work(); err != nil {
			return err
		}
	}
	t.CPU = (cpu() - before).Seconds()
	return nil
}

// cpu is the processor time of this process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no way to fail
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (m *material) settings() ([]byte, error) {
	leaf, intermediate, _, err := m.chain.PEM()
	if err != nil {
		return nil, err
	}
	_, key := pem.Decode(leaf) // node-forge reads the first block only
	dir := filepath.Dir(m.folder)
	paths := map[string]string{"folder": m.folder}
	for name, data := range map[string][]byte{"cert": leaf, "key": key, "wwdr": intermediate} {
		paths[name] = filepath.Join(dir, name+".pem")
		if err := os.WriteFile(paths[name], data, 0o600); err != nil {
			return nil, err
		}
	}
	return json.Marshal(paths)
}
