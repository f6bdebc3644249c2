package webservice_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/auth"
	"aviso.example/internal/exampleapns"
	"aviso.example/sim"
	"aviso.example/wallet/sqlite"
	"aviso.example/wallet/webservice"
)

// TestJourney takes passes and orders from "the row changed" to "the device has the
// new one": over HTTP, an SQLite file, TLS and HTTP/2 to a simulator that is Apple,
// with the kind of certificate that Apple asks for.
func TestJourney(t *testing.T) {
	both(t, func(t *testing.T, kind webservice.Kind) {
		j := newJourney(t, kind)
		phone := newIPhone(j.rig, j.apple, phone, pushToken)
		watch := newIPhone(j.rig, j.apple, "b1c2", strings.Repeat("ab", 32))
		for _, serial := range []string{"SN-1", "SN-2/ü"} {
			j.put(j.id(serial), "first")
			phone.add(serial, "first")
		}
		watch.add("SN-1", "first")
		stop := j.run(j.updater(nil))

		// Nobody knows which version a device has that registered just now.
		phone.update()
		phone.expect("SN-1", "first", 200, 200)
		j.advance(time.Minute)

		// The row changes; the devices come and fetch it.
		j.put(j.id("SN-1"), "second")
		j.changed(2, "SN-1")
		phone.wait()
		watch.wait()
		phone.expect("SN-1", "second", 200)
		watch.expect("SN-1", "second", 200)
		if got := phone.ask(); got != nil {
			t.Errorf("it is told again of %q", got)
		}
		phone.fetch("SN-1") // for no reason
		phone.expect("SN-1", "second", 304)
		j.advance(time.Minute)

		// Many changes of a second are one push or several, and nothing is missed.
		for _, content := range []string{"third", "fourth", "fifth"} {
			for _, serial := range []string{"SN-1", "SN-2/ü"} {
				j.put(j.id(serial), content)
			}
			j.changed(3, "SN-1", "SN-2/ü")
		}
		for phone.have["SN-1"].content != "fifth" || phone.have["SN-2/ü"].content != "fifth" {
			phone.wait()
		}
		phone.fetched = nil
		j.advance(time.Minute)

		// Withdrawn: the device is told, and told that it is gone.
		j.withdraw = webservice.ErrGone
		j.changed(1, "SN-2/ü")
		for phone.wait(); len(phone.fetched) == 0; phone.wait() {
			// a push that was on its way for the changes before
		}
		phone.expect("SN-2/ü", "fifth", 410)
		j.withdraw = nil

		// What is thrown away is not pushed to. Whatever had no answer when Run ended is
		// pushed once more before.
		stop()
		if report, err := j.running.Push(t.Context(), j.typ); err != nil || report.Again != 0 {
			t.Errorf("%+v, %v", report, err)
		}
		phone.remove("SN-2/ü")
		j.changed(0, "SN-2/ü")
		if report, err := j.running.Push(t.Context(), j.typ); err != nil || report != (webservice.Report{}) {
			t.Errorf("%+v, %v", report, err)
		}
		if logs := j.logs.String(); logs == "" || strings.Contains(logs, "level=WARN") {
			t.Errorf("the log:\n%s", logs)
		}
	})
}

// TestJourneyThroughTrouble: APNs cannot be reached, the process is started again, a
// device has been wiped.
func TestJourneyThroughTrouble(t *testing.T) {
	both(t, func(t *testing.T, kind webservice.Kind) {
		j := newJourney(t, kind)
		phone := newIPhone(j.rig, j.apple, phone, pushToken)
		watch := newIPhone(j.rig, j.apple, "b1c2", strings.Repeat("ab", 32))
		phone.add("SN-1", "first")
		watch.add("SN-1", "first")
		j.advance(time.Minute)

		nowhere, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		nowhere.Close()
		cut := func(cfg *apns.Config) { cfg.Endpoint, cfg.ConnectWait = nowhere.Addr().String(), 100*time.Millisecond }

		j.put(j.id("SN-1"), "second")
		away := j.updater(cut)
		if change, err := away.Changed(t.Context(), j.typ, "SN-1"); err != nil || change.Queued != 2 {
			t.Fatalf("%+v, %v", change, err)
		}
		report, err := away.Push(t.Context(), j.typ)
		if err != nil || report.NotSent != 2 || report.Again != 2 {
			t.Fatalf("%+v, %v", report, err)
		}

		// Another process, an hour later.
		j.reopen()
		j.advance(time.Hour)
		stop := j.run(j.updater(nil))
		phone.wait()
		watch.wait()
		phone.expect("SN-1", "second", 200)
		watch.expect("SN-1", "second", 200)
		stop()

		// The watch was wiped. APNs says since when, and only then it is dropped.
		j.advance(time.Minute)
		unregistered := sim.Device{DeviceToken: watch.deviceToken, Environment: sim.Production, State: sim.Unregistered, Since: j.now().Add(-24 * time.Hour)}
		if err := j.apple.PutDevice(unregistered); err != nil {
			t.Fatal(err)
		}
		last := j.updater(nil)
		push := func(want webservice.Report) {
			t.Helper()
			if _, err := last.Changed(t.Context(), j.typ, "SN-1"); err != nil {
				t.Fatal(err)
			}
			report, err := last.Push(t.Context(), j.typ)
			if err != nil || report != want {
				t.Errorf("%+v, %v; want %+v", report, err, want)
			}
		}
		push(webservice.Report{Accepted: 1, Rejected: 1, Again: 1}) // it registered since then
		unregistered.Since = j.now()
		if err := j.apple.PutDevice(unregistered); err != nil {
			t.Fatal(err)
		}
		push(webservice.Report{Accepted: 1, Rejected: 1, Removed: 1})
		push(webservice.Report{Accepted: 1})
		if got := watch.ask(); got != nil {
			t.Errorf("a device that is gone has %q", got)
		}

		// BadDeviceToken drops nobody.
		if err := j.apple.PutDevice(sim.Device{DeviceToken: phone.deviceToken, Environment: sim.Sandbox}); err != nil {
			t.Fatal(err)
		}
		push(webservice.Report{Rejected: 1, Again: 1})
		phone.update()
		phone.expect("SN-1", "second", 200)
	})
}

// Everything at once: writers change passes, an updater pushes, and devices come to
// fetch while the next change is made. Whatever order it all happens in, every device
// ends with the latest version of everything.
func TestJourneyOfMany(t *testing.T) {
	both(t, func(t *testing.T, kind webservice.Kind) {
		const devices, changes, writers = 12, 25, 3
		j := newJourney(t, kind)
		serials := []string{"SN-1", "SN-2", "SN-3"}
		var phones []*iphone
		for i := range devices {
			phone := newIPhone(j.rig, j.apple, fmt.Sprint("device", i), fmt.Sprintf("%064x", i))
			for n, serial := range serials {
				j.put(j.id(serial), "0")
				if i%(n+1) == 0 { // not all have all
					phone.add(serial, "0")
				}
			}
			phones = append(phones, phone)
		}
		stop := j.run(j.updater(nil))
		var writing sync.WaitGroup
		for w := range writers {
			writing.Go(func() {
				for c := range changes {
					serial := serials[(w+c)%len(serials)]
					j.put(j.id(serial), fmt.Sprint(w, ".", c))
					if _, err := j.running.Changed(t.Context(), j.typ, serial); err != nil {
						t.Error(err)
					}
					j.advance(time.Duration(w-1) * time.Second) // one of the clocks goes back
				}
			})
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			writing.Wait()
			// The clock of the test stands still, behind what may have been due when it was
			// put back; that of the world goes on.
			j.advance(time.Minute)
			for _, serial := range serials {
				j.put(j.id(serial), "the last")
			}
			if _, err := j.running.Changed(t.Context(), j.typ, serials...); err != nil {
				t.Error(err)
			}
		}()
		defer func() { <-done }()

		// Devices act on pushes only.
		current := func(phone *iphone) bool {
			for serial, have := range phone.have {
				if have.content != j.current(serial) {
					return false
				}
			}
			return true
		}
		for _, phone := range phones {
			for written := false; ; {
				select {
				case <-done:
					written = true
				default:
				}
				if !current(phone) {
					phone.wait() // or nothing would tell it
				} else if written {
					break
				} else {
					time.Sleep(time.Millisecond) // the last push may have come already
				}
			}
		}
		stop()
		if strings.Contains(j.logs.String(), "level=WARN") {
			t.Errorf("the log:\n%s", j.logs.String())
		}
	})
}

// journey is a whole system: issuer, store in a file, web service, updater, Apple.
type journey struct {
	*rig
	apple       *apnstest.Server
	path        string
	certificate *auth.Certificate
	running     *webservice.Updater
}

// movable is a store that can be opened anew under a server that is running.
type movable struct{ webservice.Store }

func newJourney(t *testing.T, kind webservice.Kind) *journey {
	t.Helper()
	j := &journey{path: filepath.Join(t.TempDir(), "wallet.db")}
	store := &movable{openSQLite(t, j.path)}
	t.Cleanup(func() { store.Store.(*sqlite.Store).Close() })
	j.rig = newRig(t, kind, func(cfg *webservice.Config) { cfg.Store = store })
	j.at = time.Now() // APNs has a clock too
	j.apple = apnstest.Start(t, func(cfg *sim.Config) { cfg.Environment, cfg.KnownDevicesOnly = sim.Production, true })
	var err error
	// A Pass Type ID certificate, which stands for an Order Type ID certificate too.
	if j.certificate, err = auth.ParseCertificate(exampleapns.CertificatePEM(j.typ), ""); err != nil {
		t.Fatal(err)
	}
	return j
}

func openSQLite(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reopen closes the store and opens it again, as a new process would.
func (j *journey) reopen() {
	j.Helper()
	store := j.store.(*movable)
	if err := store.Store.(*sqlite.Store).Close(); err != nil {
		j.Fatal(err)
	}
	store.Store = openSQLite(j.T, j.path)
}

// updater makes one with a client of its own.
func (j *journey) updater(change func(*apns.Config)) *webservice.Updater {
	j.Helper()
	cfg := apns.Config{Certificate: j.certificate, Endpoint: j.apple.Endpoint, ExtraRoots: j.apple.CAPEM}
	if change != nil {
		change(&cfg)
	}
	client, err := apns.New(cfg)
	if err != nil {
		j.Fatal(err)
	}
	j.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		client.Close(ctx)
	})
	u, err := webservice.NewUpdater(webservice.UpdaterConfig{
		Store: j.store, Senders: map[string]webservice.Sender{j.typ: client}, Now: j.now,
		Logger: slog.New(slog.NewTextHandler(&j.logs, nil)),
	})
	if err != nil {
		j.Fatal(err)
	}
	return u
}

// run has an updater push until stop is called.
func (j *journey) run(u *webservice.Updater) (stop func()) {
	j.Helper()
	ctx, cancel := context.WithCancel(j.Context())
	ended := make(chan error, 1)
	go func() { ended <- u.Run(ctx) }()
	j.running = u
	return func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			j.Error(err)
		}
	}
}

// changed tells the updater that runs, which puts so many pushes down.
func (j *journey) changed(queued int, serials ...string) {
	j.Helper()
	change, err := j.running.Changed(j.Context(), j.typ, serials...)
	if err != nil || change.Queued != queued {
		j.Fatalf("%+v, %v; want %d", change, err, queued)
	}
}
