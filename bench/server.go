package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"syscall"
	"time"

	"aviso.example/sim"
)

// roundTrip is the simulated distance: a sender in Europe sees about this much
// to Apple's servers.
const roundTrip = 50 * time.Millisecond

// streams is the limit that was last seen from Apple.
const streams = 1000

type serverSettings struct {
	CAFile string
}

// serverReady is the first line the server prints.
type serverReady struct {
	Near, Far string // addresses, without and with the round-trip time
}

// serverUsage is its answer to any line it reads.
type serverUsage struct {
	CPU                   float64 // seconds, user and system, since it began
	Accepted, Rejected    uint64
	Connections, Streams  uint64
	Refused, ProtocolErrs uint64
}

// serve runs one process with the same server on two ports, and tells what it
// has used whenever it is asked. It ends with its input.
func serve(ctx context.Context, s serverSettings, in io.Reader, out io.Writer) error {
	near := sim.Config{
		TrustAnyKey: true, Lean: true, MaxStreams: streams,
		// Several senders write before they have read that only one stream is
		// open to strangers, and then lose some. That is their affair, but not
		// what is measured here, so everybody starts with all streams.
		UnauthenticatedMaxStreams: streams,
	}
	server, err := sim.New(near)
	if err != nil {
		return err
	}
	defer server.Close()
	var ready serverReady
	if ready.Near, err = server.Start("127.0.0.1:0"); err != nil {
		return err
	}
	far := near
	far.RoundTrip = roundTrip
	// At this distance the 65,535 bytes that HTTP/2 begins with would bound
	// everybody, and to less than the streams do.
	far.ConnectionWindow = 16 << 20
	farServer, err := sim.New(far)
	if err != nil {
		return err
	}
	defer farServer.Close()
	if ready.Far, err = farServer.Start("127.0.0.1:0"); err != nil {
		return err
	}
	// Each made a certificate of its own; a file may hold both.
	if err := os.WriteFile(s.CAFile, append(server.CAPEM(), farServer.CAPEM()...), 0o600); err != nil {
		return err
	}
	answers := json.NewEncoder(out)
	if err := answers.Encode(ready); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { os.Stdin.Close() })()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		a, b := server.Stats(), farServer.Stats()
		if err := answers.Encode(serverUsage{
			CPU:      cpuSeconds(syscall.RUSAGE_SELF),
			Accepted: a.Accepted + b.Accepted, Rejected: a.Rejected + b.Rejected,
			Connections: a.Connections + b.Connections, Streams: a.Streams + b.Streams,
			Refused: a.Refused + b.Refused, ProtocolErrs: a.ProtocolErrors + b.ProtocolErrors,
		}); err != nil {
			return err
		}
	}
	return nil
}

// cpuSeconds is the CPU time, user and system, of a process so far.
func cpuSeconds(who int) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		panic(err) // who is a constant
	}
	return rusageSeconds(&u)
}

func rusageSeconds(u *syscall.Rusage) float64 {
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
