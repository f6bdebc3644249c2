package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/auth"
	"aviso.example/sim"
)

// victimVariable makes this test binary an engine that lives to be killed.
const victimVariable = "AVISO_ENGINE_TEST_VICTIM"

type victimSettings struct {
	Dir, Endpoint, KeyPEM, CAPEM string
	Window                       int
}

// runVictim hands in what it is told, one command a line, and says when the
// engine has accepted it: "from to" becomes "from to message".
func runVictim(settings string) {
	var s victimSettings
	if err := json.Unmarshal([]byte(settings), &s); err != nil {
		panic(err)
	}
	key, err := auth.ParseSigningKey([]byte(s.KeyPEM), apnstest.KeyID)
	if err != nil {
		panic(err)
	}
	e, err := Open(context.Background(), Config{
		Store: StoreConfig{Dir: s.Dir}, Window: s.Window,
		Apps: []App{{ID: "shop", BundleID: apnstest.Topic, Default: apns.Sandbox, Sandbox: &Credential{
			Key: key, TeamID: apnstest.TeamID, Endpoint: s.Endpoint, ExtraRoots: []byte(s.CAPEM),
		}}},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	var mu sync.Mutex
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var from, to int
		fmt.Sscan(lines.Text(), &from, &to)
		go func() {
			receipt, err := e.Submit(context.Background(), hello(), devices(from, to))
			if err != nil {
				panic(err)
			}
			mu.Lock()
			defer mu.Unlock()
			fmt.Println(from, to, receipt.Message)
		}()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		panic(err)
	}
}

// victim is such a process.
type victim struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startVictim(t *testing.T, s victimSettings) *victim {
	t.Helper()
	settings, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{cmd: exec.Command(os.Args[0])}
	v.cmd.Env = append(os.Environ(), victimVariable+"="+string(settings))
	v.cmd.Stderr = t.Output()
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if v.in, err = v.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v.out = bufio.NewScanner(out)
	if !v.out.Scan() || v.out.Text() != "ready" {
		t.Fatalf("the engine did not start: %q", v.out.Text())
	}
	return v
}

// An engine is killed again and again while it takes and sends, and APNs makes
// trouble meanwhile. Everything it ever accepted has a verdict at the end, and
// what was repeated stays within the bound.
func TestKill(t *testing.T) {
	rounds, window := 10, 4096
	if testing.Short() {
		rounds = 3
	}
	apple := apnstest.Start(t, func(cfg *sim.Config) { cfg.Lean = false; cfg.RecorderLimit = 1 << 20 })
	apple.AddFault(t, sim.Fault{Kind: sim.FaultGoAway, Every: 20_000})
	apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable", Every: 3001, Burst: 5})
	apple.AddFault(t, sim.Fault{Kind: sim.FaultResetConnection, Every: 70_001})
	settings := victimSettings{t.TempDir(), apple.Endpoint, string(apple.KeyPEM), string(apple.CAPEM), window}
	accepted := map[string]bool{}
	next := 0
	for round := range rounds {
		v := startVictim(t, settings)
		acks := make(chan string, 1024)
		go func() {
			for v.out.Scan() {
				acks <- v.out.Text()
			}
			close(acks)
		}()
		kill := time.After(50*time.Millisecond + rand.N(400*time.Millisecond))
		asked, answered := 0, 0
	hand:
		for {
			for asked-answered < 16 {
				size := []int{1, 1, 3, 40, 500, 1500}[rand.N(5)]
				if _, err := fmt.Fprintln(v.in, next, next+size); err != nil {
					break hand
				}
				next += size
				asked++
			}
			select {
			case line, ok := <-acks:
				if !ok {
					break hand
				}
				answered++
				accepted[strings.Fields(line)[2]] = true
			case <-kill:
				break hand
			}
		}
		v.cmd.Process.Kill()
		for line := range acks {
			// What it said before it died counts.
			if fields := strings.Fields(line); len(fields) == 3 {
				accepted[fields[2]] = true
			}
		}
		v.cmd.Wait()
		t.Logf("round %d: %d messages accepted so far", round+1, len(accepted))
	}

	// The rest is sent by one that is left alone.
	r := newRig(t, apple, func(cfg *Config) { cfg.Store.Dir, cfg.Window = settings.Dir, window })
	total := 0
	for id := range accepted {
		message, err := ParseMessageID(id)
		if err != nil {
			t.Fatal(err)
		}
		s := r.wait(message)
		if s.States[Accepted] != message.Count {
			t.Errorf("%s: %v", id, s.States)
		}
		total += message.Count
	}
	stats := apple.Stats()
	t.Logf("%d notifications in %d messages accepted; APNs took %d, of those %d twice", total, len(accepted), stats.Accepted, stats.Duplicates)
	if bound := uint64(rounds * lanes * window); stats.Duplicates > bound {
		t.Errorf("%d were repeated; the bound is %d", stats.Duplicates, bound)
	}
}
