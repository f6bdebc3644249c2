package sim_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// send posts a push with net/http, which shares nothing with the simulator.
func send(t testing.TB, c *http.Client, s *apnstest.Server, edit func(*http.Request)) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/3/device/"+s.DeviceToken, strings.NewReader(`{"aps":{"alert":"Hello"}}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("authorization", "bearer "+s.ProviderToken(t))
	req.Header.Set("apns-topic", s.Topic)
	req.Header.Set("apns-push-type", "alert")
	if edit != nil {
		edit(req)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res, string(body)
}

func TestNetHTTPClient(t *testing.T) {
	apns := apnstest.Start(t)
	res, body := send(t, apns.HTTPClient(t), apns, func(r *http.Request) {
		r.Header.Set("apns-id", "eabeae54-14a8-11e5-b60b-1697f925ec7b")
	})
	if res.StatusCode != 200 || body != "" {
		t.Fatalf("status %d, body %q", res.StatusCode, body)
	}
	if got := res.Header.Get("apns-id"); got != "eabeae54-14a8-11e5-b60b-1697f925ec7b" {
		t.Errorf("apns-id %q", got)
	}
	if res.Header.Get("apns-unique-id") == "" {
		t.Error("no apns-unique-id from the sandbox")
	}
	p := apns.WaitForPush(t, sim.Filter{DeviceToken: apns.DeviceToken})
	if string(p.Payload) != `{"aps":{"alert":"Hello"}}` || p.Outcome != sim.Accepted || p.Topic != apns.Topic {
		t.Errorf("recorded %+v", p)
	}
}

func TestManyAtOnce(t *testing.T) {
	apns := apnstest.Start(t)
	client := apns.HTTPClient(t)
	bearer := "bearer " + apns.ProviderToken(t)
	send(t, client, apns, func(r *http.Request) { r.Header.Set("authorization", bearer) })
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			res, body := send(t, client, apns, func(r *http.Request) {
				r.Header.Set("authorization", bearer)
				r.URL.Path = fmt.Sprintf("/3/device/%064x", i)
			})
			if res.StatusCode != 200 {
				t.Errorf("%d: %d %s", i, res.StatusCode, body)
			}
		})
	}
	wg.Wait()
	if st := apns.Stats(); st.Accepted != 501 || st.Recorded != 501 {
		t.Errorf("%+v", st)
	}
}

func TestInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apns := apnstest.StartMem(t)
		apns.AddFault(t, sim.Fault{Kind: sim.FaultDelay, Delay: 30 * time.Second})
		client := apns.HTTPClient(t)
		start := time.Now()
		res, body := send(t, client, apns, nil)
		if res.StatusCode != 200 {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("took %v", took)
		}
		client.CloseIdleConnections()
	})
}
