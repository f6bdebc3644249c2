package interop

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sideshow/apns2"
	"github.com/sideshow/apns2/certificate"
	"github.com/sideshow/apns2/token"
)

func (s *simulator) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(readFile(t, s.ca)) {
		t.Fatal("aviso simulate wrote no certificate")
	}
	return pool
}

func TestSimulatorAndNetHTTP(t *testing.T) {
	const n, workers = 5000, 50
	keys := makePKI(t)
	s := simulate(t, keys)
	bearer := "bearer " + providerToken(t, keys.signingKey, time.Now())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots(t)}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience}
	push := func(device string) (status int, reason string, err error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.addr+"/3/device/"+device, strings.NewReader(payload))
		if err != nil {
			return 0, "", err
		}
		req.Header.Set("authorization", bearer)
		req.Header.Set("apns-topic", bundleID)
		req.Header.Set("apns-push-type", "alert")
		res, err := client.Do(req)
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if res.ProtoMajor != 2 {
			err = fmt.Errorf("the answer came with %s", res.Proto)
		}
		var answer struct{ Reason string }
		json.Unmarshal(body, &answer)
		return res.StatusCode, answer.Reason, err
	}
	for device, want := range map[string]string{
		activeDevice: "200 ", unregisteredDevice: "410 Unregistered", "12": "400 BadDeviceToken",
	} {
		status, reason, err := push(device)
		if got := fmt.Sprintf("%d %s", status, reason); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", device, got, err, want)
		}
	}
	parallel(workers, n, func(i int) {
		if status, reason, err := push(deviceToken(i)); status != 200 {
			t.Errorf("%d: %d %s %v", i, status, reason, err)
		}
	})
	s.want(t, n+1)
}

// parallel calls f for 0 to n-1 on several goroutines.
func parallel(workers, n int, f func(int)) {
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	wg.Wait()
}

// TestSimulatorAndApns2 uses the provider library that most Go programs have.
func TestSimulatorAndApns2(t *testing.T) {
	const n, workers = 5000, 50
	keys := makePKI(t)
	s := simulate(t, keys)
	roots := s.roots(t)
	// apns2 has no setting for further authorities but this variable.
	dial := apns2.DialTLS
	apns2.DialTLS = func(network, addr string, cfg *tls.Config) (net.Conn, error) {
		cfg = cfg.Clone()
		cfg.RootCAs = roots
		return dial(network, addr, cfg)
	}
	t.Cleanup(func() { apns2.DialTLS = dial })

	key, err := token.AuthKeyFromFile(keys.signingKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := certificate.FromPemBytes(append(readFile(t, keys.clientCert), readFile(t, keys.clientKey)...), "")
	if err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for name, client := range map[string]*apns2.Client{
		"provider token": apns2.NewTokenClient(&token.Token{AuthKey: key, KeyID: keyID, TeamID: teamID}),
		"certificate":    apns2.NewClient(cert),
	} {
		t.Run(name, func(t *testing.T) {
			client.Host = "https://" + s.addr
			defer client.CloseIdleConnections()
			push := func(device string) *apns2.Response {
				res, err := client.PushWithContext(t.Context(), &apns2.Notification{
					DeviceToken: device, Topic: bundleID, PushType: apns2.PushTypeAlert, Payload: []byte(payload),
					Priority: apns2.PriorityHigh, Expiration: time.Now().Add(time.Hour),
				})
				if err != nil {
					t.Error(err)
					return &apns2.Response{}
				}
				return res
			}
			// apns2 keeps whole seconds of the timestamp.
			if res := push(unregisteredDevice); res.StatusCode != 410 || res.Reason != apns2.ReasonUnregistered || !res.Timestamp.Equal(unregisteredAt.Truncate(time.Second)) {
				t.Errorf("unregistered: %d %s %v", res.StatusCode, res.Reason, res.Timestamp)
			}
			if res := push("12"); res.StatusCode != 400 || res.Reason != apns2.ReasonBadDeviceToken {
				t.Errorf("bad device token: %d %s", res.StatusCode, res.Reason)
			}
			parallel(workers, n, func(i int) {
				if res := push(deviceToken(i)); !res.Sent() || res.ApnsID == "" {
					t.Errorf("%d: %d %s, apns-id %q", i, res.StatusCode, res.Reason, res.ApnsID)
				}
			})
			accepted += n
		})
	}
	s.want(t, accepted)
}
