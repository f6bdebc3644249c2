package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/legacy/gateway"
	"aviso.example/sim"
)

var roles = map[string]func(settings) (role, []string, error){
	"simulator": openSimulator, "direct": openDirect, "gateway": openGateway, "programs": openPrograms, "legacy": openLegacy,
}

// Which of the simulator process's addresses is which.
const (
	near      = iota // no delay
	far              // roundTrip
	rejecting        // knows which device tokens are bad
)

type simulator struct{ servers []*sim.Server }

func openSimulator(s settings) (role, []string, error) {
	r := &simulator{}
	var addresses []string
	var roots []byte
	for which := range 3 {
		cfg := sim.Config{TrustAnyKey: true, Lean: true}
		switch which {
		case far:
			// At this distance the 65,535 bytes that HTTP/2 begins with would bound
			// everybody, and to less than the streams do.
			cfg.RoundTrip, cfg.ConnectionWindow = roundTrip, 16<<20
		case rejecting:
			cfg.Devices = sim.NewDevices()
			for i := range badDevices {
				if err := cfg.Devices.Put(sim.Device{DeviceToken: hexDevice(badDevice(i)), Environment: sim.Production}, time.Now()); err != nil {
					return nil, nil, err
				}
			}
		}
		server, err := sim.New(cfg)
		if err != nil {
			return nil, nil, err
		}
		addr, err := server.Start("127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		r.servers = append(r.servers, server)
		addresses, roots = append(addresses, addr), append(roots, server.CAPEM()...)
	}
	return r, addresses, os.WriteFile(filepath.Join(s.Dir, caFile), roots, 0o600)
}

func (r *simulator) answer(question) (answer, error) { return answer{usage: used()}, nil }

func (r *simulator) close() {
	for _, server := range r.servers {
		server.Close()
	}
}

// direct is apns.Client.PushAll alone.
type direct struct {
	client *apns.Client
	all    []apns.Notification
	total  answer
}

func openDirect(s settings) (role, []string, error) {
	cfg, err := clientConfig(s)
	if err != nil {
		return nil, nil, err
	}
	r := &direct{}
	r.client, err = apns.New(cfg)
	for i := range ring + badDevices {
		d := badDevice(i)
		if i < ring {
			d = device(i)
		}
		r.all = append(r.all, apns.Notification{
			DeviceToken: hexDevice(d), Payload: payload, Topic: topic, PushType: apns.PushTypeAlert, Priority: apns.PriorityImmediate,
		})
	}
	return r, nil, err
}

func (r *direct) answer(q question) (answer, error) {
	input := func(yield func(*apns.Notification) bool) {
		for i := range q.N {
			n := &r.all[i%ring]
			if q.bad(i) {
				n = &r.all[ring+i%badDevices]
			}
			if !yield(n) {
				return
			}
		}
	}
	for result := range r.client.PushAll(context.Background(), input) {
		switch result.Outcome {
		case apns.Accepted:
			r.total.Accepted++
		case apns.Rejected:
			r.total.Rejected++
		default:
			return r.total, result.Err
		}
	}
	r.total.usage = used()
	return r.total, nil
}

func (r *direct) close() { r.client.Close(context.Background()) }

// gate is a gateway.
type gate struct {
	gateway *gateway.Gateway
	served  chan error
	profile *os.File
}

func openGateway(s settings) (role, []string, error) {
	client, err := clientConfig(s)
	if err != nil {
		return nil, nil, err
	}
	own, err := auth.LoadCertificate(filepath.Join(s.Dir, gatewayFile), "")
	if err != nil {
		return nil, nil, err
	}
	program, err := auth.LoadCertificate(filepath.Join(s.Dir, programFile), "")
	if err != nil {
		return nil, nil, err
	}
	folder, err := os.MkdirTemp(s.Dir, "gateway-")
	if err != nil {
		return nil, nil, err
	}
	r := &gate{served: make(chan error, 1)}
	r.gateway, err = gateway.New(gateway.Config{
		Certificate: own, FeedbackFile: filepath.Join(folder, "feedback.db"), Window: s.Window,
		// Making the text costs something where it is wanted, so it does here.
		Logger:    slog.New(slog.NewTextHandler(io.Discard, nil)),
		Providers: []gateway.Provider{{Name: "bench", Certificates: []*x509.Certificate{program.TLS.Leaf}, APNs: client}},
	})
	if err != nil {
		return nil, nil, err
	}
	l, err := gateway.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	go func() { r.served <- r.gateway.Serve(l) }()
	if s.Profile != "" {
		if r.profile, err = os.Create(s.Profile); err != nil {
			return nil, nil, err
		}
		err = pprof.StartCPUProfile(r.profile)
	}
	return r, []string{l.Addr().String()}, err
}

func (r *gate) answer(q question) (a answer, err error) {
	switch q.Op {
	case "until":
		// Asking from here costs less than a line over a pipe each time.
		for end := time.Now().Add(answerTimeout / 2); ; time.Sleep(2 * time.Millisecond) {
			s := r.gateway.Stats()
			if s.Accepted >= q.Accepted && s.Rejected >= q.Rejected {
				break
			}
			if time.Now().After(end) {
				return a, fmt.Errorf("%d of %d were accepted, %d of %d rejected: %+v", s.Accepted, q.Accepted, s.Rejected, q.Rejected, s)
			}
		}
	case "memory":
		debug.FreeOSMemory()
		a.Resident, err = resident()
		return a, err
	}
	s := r.gateway.Stats()
	a.Accepted, a.Rejected, a.usage = s.Accepted, s.Rejected, used()
	return a, nil
}

func (r *gate) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r.gateway.Shutdown(ctx)
	<-r.served
	if r.profile != nil {
		pprof.StopCPUProfile()
		r.profile.Close()
	}
}

// resident is the memory this process has, in bytes.
func resident() (int64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("/proc/self/status has no VmRSS")
}
