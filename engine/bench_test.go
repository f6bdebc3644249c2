package engine

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/auth"
	"aviso.example/sim"
)

// The simulator runs in a process of its own, so that its CPU time does not
// count: this test binary, told so by a variable.
const simulatorVariable = "AVISO_ENGINE_BENCH_SIMULATOR"

func runSimulator(caFile string) {
	server, err := sim.New(sim.Config{TrustAnyKey: true, Lean: true})
	if err != nil {
		panic(err)
	}
	addr, err := server.Start("127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(caFile, server.CAPEM(), 0o600); err != nil {
		panic(err)
	}
	fmt.Println(addr)
	bufio.NewReader(os.Stdin).ReadByte() // until the parent ends
	server.Close()
}

func startSimulator(b *testing.B) (addr string, ca []byte) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "ca.pem")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), simulatorVariable+"="+file)
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	if ca, err = os.ReadFile(file); err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line), ca
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkEngine goes the whole way, without HTTP: handed in, on disk, sent,
// verdict on disk. An operation is one notification; µs-CPU/op is what the whole
// process used for it.
func BenchmarkEngine(b *testing.B) {
	addr, ca := startSimulator(b)
	key, err := auth.GenerateSigningKey("BENCHKEY01")
	if err != nil {
		b.Fatal(err)
	}
	for _, size := range []int{1, 100, 1000} {
		callers := map[int]int{1: 64, 100: 16, 1000: 4}[size]
		b.Run(fmt.Sprintf("%d_by_%d", size, callers), func(b *testing.B) {
			e, err := Open(context.Background(), Config{
				Store: StoreConfig{Dir: b.TempDir()}, Logger: testLog(b),
				Apps: []App{{ID: "shop", BundleID: apnstest.Topic, Default: apns.Sandbox, Sandbox: &Credential{Key: key, TeamID: apnstest.TeamID, Endpoint: addr, ExtraRoots: ca}}},
			})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close(context.Background())
			targets := devices(0, 16384)
			send := func(n int) {
				before := e.settledSoFar()
				var next atomic.Int64
				var all sync.WaitGroup
				for range callers {
					all.Go(func() {
						for {
							from := int(next.Add(int64(size))) - size
							if from >= n {
								return
							}
							at := from % (len(targets) - size)
							if _, err := e.Submit(context.Background(), hello(), targets[at:at+min(size, n-from)]); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				for e.settledSoFar() < before+int64(n) && !b.Failed() {
					time.Sleep(time.Millisecond)
				}
			}
			send(5000)
			b.ReportAllocs()
			b.ResetTimer()
			used := cpu()
			send(b.N)
			b.ReportMetric(float64((cpu()-used).Microseconds())/float64(b.N), "µs-CPU/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "notifications/s")
		})
	}
}

// settledSoFar is how many have ended.
func (e *Engine) settledSoFar() (n int64) {
	e.stats.mu.Lock()
	defer e.stats.mu.Unlock()
	for _, t := range e.stats.paths {
		for s := Accepted; s <= Unknown; s++ {
			n += t.states[s]
		}
	}
	return n
}
