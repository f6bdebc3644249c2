package legacy_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/legacy"
)

func TestConfig(t *testing.T) {
	good := func() legacy.Config {
		return legacy.Config{Certificate: ids().client, Endpoint: "localhost:2195"}
	}
	for _, tc := range []struct {
		change func(*legacy.Config)
		says   string
	}{
		{func(c *legacy.Config) { c.Certificate = nil }, "Config.Certificate is missing"},
		{func(c *legacy.Config) { c.Endpoint = "" }, "31 March 2021"},
		{func(c *legacy.Config) { c.Endpoint = "https://localhost:2195" }, "Config.Endpoint has a scheme"},
		{func(c *legacy.Config) { c.Endpoint = "localhost:2195/3/device" }, "Config.Endpoint has a path"},
		{func(c *legacy.Config) { c.Endpoint = "localhost:" }, "Config.Endpoint lacks host or port"},
		{func(c *legacy.Config) { c.Endpoint = "a:b:c" }, "Config.Endpoint is not host:port"},
		{func(c *legacy.Config) { c.ExtraRoots = []byte("ca.pem") }, "Config.ExtraRoots holds no certificate"},
		{func(c *legacy.Config) { c.SettleTime = 3 }, "Config.SettleTime is 3ns; it has to be 10ms at least"},
		{func(c *legacy.Config) { c.Timeout = -time.Second }, "Config.Timeout"},
		{func(c *legacy.Config) { c.ConnectWait = 1 }, "Config.ConnectWait"},
		{func(c *legacy.Config) { c.MaxInFlight = -1 }, "Config.MaxInFlight is -1"},
		{func(c *legacy.Config) { c.MaxInFlight = 1<<24 + 1 }, "between 1 and 16777216"},
		{func(c *legacy.Config) { c.BatchWindow = -1 }, "Config.BatchWindow"},
		{func(c *legacy.Config) { c.MaxAttempts = -1 }, "Config.MaxAttempts"},
		{func(c *legacy.Config) { c.MaxPayload = 10000 }, "Config.MaxPayload"},
	} {
		cfg := good()
		tc.change(&cfg)
		if _, err := legacy.New(cfg); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%v does not say %q", err, tc.says)
		}
	}
	for endpoint, want := range map[string]string{
		"gateway.example": "gateway.example:2195", "gateway.example:99": "gateway.example:99", "::1": "[::1]:2195", "[::1]:99": "[::1]:99",
	} {
		cfg := good()
		cfg.Endpoint = endpoint
		client, err := legacy.New(cfg)
		if err != nil {
			t.Errorf("%s: %v", endpoint, err)
			continue
		}
		if client.Endpoint() != want {
			t.Errorf("%s is %s, want %s", endpoint, client.Endpoint(), want)
		}
		client.Close(t.Context())
	}
	// Everything that is wrong is said at once.
	if _, err := legacy.New(legacy.Config{SettleTime: 1, MaxPayload: -1}); strings.Count(err.Error(), "legacy: Config.") != 4 {
		t.Error(err)
	}
	// A new field has to be thought of here.
	if n := reflect.TypeFor[legacy.Config]().NumField(); n != 15 {
		t.Errorf("Config has %d fields; check the new one, in Config.check and here", n)
	}
}

func TestNotificationsAreChecked(t *testing.T) {
	virtually(t, func(t *testing.T) {
		client := newClient(t, newPeer(t, (*peerConn).readAll), nil)
		for _, tc := range []struct {
			change func(*apns.Notification)
			field  string
			says   string
		}{
			{func(n *apns.Notification) { n.DeviceToken = "" }, "DeviceToken", "is missing"},
			{func(n *apns.Notification) { n.DeviceToken = "<0011>" }, "DeviceToken", "NSData"},
			{func(n *apns.Notification) { n.DeviceToken = strings.Repeat("ab", 101) }, "DeviceToken", "101 bytes"},
			{func(n *apns.Notification) { n.Payload = nil }, "Payload", "is empty"},
			{func(n *apns.Notification) { n.Payload = []byte("[]") }, "Payload", "not a JSON object"},
			{func(n *apns.Notification) { n.Payload = make([]byte, 2049) }, "Payload", "2049 bytes; the limit of the binary protocol is 2048"},
			{func(n *apns.Notification) { n.PushType = apns.PushTypeLiveActivity }, "PushType", "binary protocol knew"},
			{func(n *apns.Notification) { n.PushType, n.Priority = apns.PushTypeBackground, 10 }, "Priority", "leave it out, or use 5"},
			{func(n *apns.Notification) { n.Priority = 1 }, "Priority", "today's interface"},
			{func(n *apns.Notification) { n.Priority = 266 }, "Priority", "has to be 10 or 5"},
			{func(n *apns.Notification) { n.CollapseID = "x" }, "CollapseID", "no place"},
			{func(n *apns.Notification) { n.Topic = "com.example.other" }, "Topic", "of the certificate"},
			{func(n *apns.Notification) { n.BundleID = "com.example.other" }, "BundleID", "of the certificate"},
			{func(n *apns.Notification) { n.Expiration = apns.ExpireAt(time.Now()) }, "Expiration", "has passed"},
			{func(n *apns.Notification) { n.Expiration = apns.ExpireAtUnix(60) }, "Expiration", "did you mean 60 seconds"},
			{func(n *apns.Notification) { n.Expiration = apns.ExpireAtUnix(-60) }, "Expiration", "has passed"},
			{func(n *apns.Notification) { n.Expiration = apns.ExpireAtUnix(1 << 32) }, "Expiration", "2106"},
		} {
			n := numbered(1)
			tc.change(n)
			receipt, err := client.Push(t.Context(), n)
			invalid, ok := errors.AsType[*apns.InvalidError](err)
			if !ok || apns.OutcomeOf(err) != apns.NotSent || receipt.Attempts != 0 {
				t.Errorf("%s: %v", tc.field, err)
				continue
			}
			if p := invalid.Problems; len(p) != 1 || p[0].Field != tc.field || !strings.Contains(p[0].Message, tc.says) {
				t.Errorf("%v, want one about %s that says %q", p, tc.field, tc.says)
			}
		}
		if _, err := client.Push(t.Context(), nil); apns.OutcomeOf(err) != apns.NotSent {
			t.Error(err)
		}
		if _, err := client.Push(t.Context(), &apns.Notification{}); !strings.Contains(err.Error(), "DeviceToken is missing; Payload is empty") {
			t.Error(err)
		}
		if s := client.Stats(); s.Dials != 0 || s.Open != 0 {
			t.Errorf("%+v", s)
		}
		for _, change := range []func(*apns.Notification){
			func(n *apns.Notification) { n.BundleID, n.Topic = bundleID, bundleID },
			func(n *apns.Notification) { n.PushType, n.Priority = apns.PushTypeAlert, 5 },
			func(n *apns.Notification) { n.Expiration = apns.ExpireByStoragePolicy },
			func(n *apns.Notification) { n.Expiration = apns.ExpireAtUnix(1<<32 - 1) },
			func(n *apns.Notification) { n.Payload = []byte("\n{}\t") },
		} {
			n := numbered(1)
			change(n)
			if _, err := client.Push(t.Context(), n); err != nil {
				t.Error(err)
			}
		}
	})
}

// Neither device tokens nor payloads get into errors or logs.
func TestSecretsStayIn(t *testing.T) {
	virtually(t, func(t *testing.T) {
		var log bytes.Buffer
		client := newClient(t, newPeer(t, func(c *peerConn) {
			switch n, _ := c.next(); c.number {
			case 1:
				c.refuse(1, n.id)
			case 2:
				c.refuse(8, n.id)
			case 3:
				c.Write([]byte("HTTP/1.1 400"))
			}
		}), func(c *legacy.Config) {
			c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		device, secret := strings.Repeat("c0ffee", 10)+"abcd", "my secret"
		all := ""
		for _, payload := range []string{`{"a":"` + secret + `"}`, `{"a":"` + secret + `"}`, secret, `{"a":"` + strings.Repeat(secret, 300) + `"}`} {
			_, err := client.Push(t.Context(), &apns.Notification{DeviceToken: device, Payload: []byte(payload)})
			if err == nil {
				t.Fatal("accepted")
			}
			all += err.Error()
		}
		client.Close(context.Background())
		all += log.String()
		if strings.Contains(all, device) || strings.Contains(all, "c0ffeec0ffee") || strings.Contains(all, secret) {
			t.Error(all)
		}
		if !strings.Contains(all, "connected to the binary gateway") || !strings.Contains(all, "gateway.test:2195") {
			t.Error(all)
		}
	})
}

// What a rejection says is understood by whoever understands package apns.
func TestRejections(t *testing.T) {
	for status, want := range map[byte]struct {
		httpStatus int
		reason     apns.Reason
		action     apns.Action
	}{
		2: {400, apns.ReasonMissingDeviceToken, apns.FixRequest}, 3: {400, apns.ReasonMissingTopic, apns.FixConfiguration},
		4: {400, apns.ReasonPayloadEmpty, apns.FixRequest}, 5: {400, apns.ReasonBadDeviceToken, apns.FixConfiguration},
		6: {400, apns.ReasonBadTopic, apns.FixRequest}, 7: {413, apns.ReasonPayloadTooLarge, apns.FixRequest},
		8: {400, apns.ReasonBadDeviceToken, apns.FixConfiguration}, 128: {400, "ProtocolError", apns.FixRequest},
	} {
		virtually(t, func(t *testing.T) {
			client := newClient(t, newPeer(t, func(c *peerConn) {
				if n, err := c.next(); err == nil {
					c.refuse(status, n.id)
				}
			}), nil)
			_, err := client.Push(t.Context(), numbered(1))
			r := wantStatus(t, err, legacy.Status(status))
			if r.Status != want.httpStatus || r.Reason != want.reason || r.Action() != want.action {
				t.Errorf("%d: %d %s, %s", status, r.Status, r.Reason, r.Action())
			}
			if r.DropDeviceToken(time.Time{}) {
				t.Errorf("%d: a device token is never dropped for an error packet", status)
			}
			if strings.Contains(err.Error(), "is the endpoint APNs") {
				t.Error(err)
			}
		})
	}
}
