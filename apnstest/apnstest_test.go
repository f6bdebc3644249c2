package apnstest_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What a test of a sender looks like.
func TestStart(t *testing.T) {
	apns := apnstest.Start(t)

	// The sender under test, here a plain HTTP client.
	req, err := http.NewRequestWithContext(t.Context(), "POST", apns.URL+"/3/device/"+apns.DeviceToken, strings.NewReader(`{"aps":{"alert":"Hello"}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("authorization", "bearer "+apns.ProviderToken(t))
	req.Header.Set("apns-topic", apns.Topic)
	req.Header.Set("apns-push-type", "alert")
	res, err := apns.HTTPClient(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()

	push := apns.WaitForPush(t, sim.Filter{DeviceToken: apns.DeviceToken})
	if push.Outcome != sim.Accepted || string(push.Payload) != `{"aps":{"alert":"Hello"}}` {
		t.Errorf("%+v", push)
	}
}

func TestStartMem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t, func(c *sim.Config) { c.RoundTrip = time.Hour })
		apns.AddFault(t, sim.Fault{Kind: sim.FaultSlowSettings, Delay: time.Hour})
		req, err := http.NewRequestWithContext(t.Context(), "HEAD", apns.URL+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		client := apns.HTTPClient(t)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if took := time.Since(start); res.StatusCode != 405 || took%time.Hour != 0 {
			t.Errorf("%d after %v", res.StatusCode, took)
		}
		client.CloseIdleConnections()
	})
}

func TestCredentialsAreOnePair(t *testing.T) {
	apns := apnstest.Start(t, func(c *sim.Config) { c.Environment = sim.Production })
	block, rest := pem.Decode(apns.KeyPEM)
	if block == nil || len(rest) > 0 {
		t.Fatal("KeyPEM is not one PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil || !apns.Key.Equal(key) {
		t.Errorf("KeyPEM is another key than Key: %v", err)
	}
	d, err := apns.Devices().Get(apns.DeviceToken)
	if err != nil || d.Environment != sim.Production {
		t.Errorf("%+v %v", d, err)
	}
	nc, err := apns.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}
