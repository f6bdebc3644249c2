package apns_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/auth"
	"aviso.example/internal/proto"
	"aviso.example/sim"
)

// certificate makes a push certificate as Apple lays them out: UID, and the
// markers of the environments.
func certificate(t *testing.T, uid string, sandbox, production bool) *auth.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject: pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: uid},
			{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "Apple Push Services: " + uid},
			{Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: apnstest.TeamID},
		}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for mark, set := range map[int]bool{1: sandbox, 2: production} {
		if set {
			template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{
				Id: asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, mark}, Value: []byte{5, 0},
			})
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := auth.ParseCertificate(append(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...), "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func withCertificate(c *auth.Certificate) func(*apns.Config) {
	return func(cfg *apns.Config) { cfg.Key, cfg.TeamID, cfg.Certificate = nil, "", c }
}

func TestCertificateIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, withCertificate(certificate(t, apnstest.Topic, true, true)))
		receipt, err := client.Push(t.Context(), note(server))
		if err != nil {
			t.Fatal(err)
		}
		p := server.WaitForPush(t, sim.Filter{ID: receipt.ID.String()})
		if p.Credential.Kind != "certificate" || p.Credential.UID != apnstest.Topic {
			t.Errorf("%+v", p.Credential)
		}
		n := note(server)
		n.BundleID = "com.other.app"
		_, err = client.Push(t.Context(), n)
		if _, ok := errors.AsType[*apns.InvalidError](err); !ok || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("a topic the certificate does not cover: %v", err)
		}
	})
}

func TestCertificateOfTheOtherEnvironment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t, func(c *sim.Config) { c.Environment = sim.Production })
		client := newClient(t, server, withCertificate(certificate(t, apnstest.Topic, true, false)))
		_, err := client.Push(t.Context(), note(server))
		if !errors.Is(err, apns.ReasonBadCertificateEnvironment) || apns.OutcomeOf(err) == apns.Accepted {
			t.Errorf("%v", err)
		}
	})
}

func TestCertificateRefusedInTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t, func(c *sim.Config) { c.ClientCAs = x509.NewCertPool() })
		client := newClient(t, server, withCertificate(certificate(t, apnstest.Topic, true, true)))
		begin := time.Now()
		_, err := client.Push(t.Context(), note(server))
		if apns.OutcomeOf(err) == apns.Accepted || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%v", err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("it took %v to find out", took)
		}
	})
}

func TestOneCredentialFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		stranger, err := auth.GenerateSigningKey("WRONGKEY01")
		if err != nil {
			t.Fatal(err)
		}
		good := newClient(t, server, nil)
		bad := newClient(t, server, func(c *apns.Config) { c.Key = stranger })
		for range 20 {
			if _, err := good.Push(t.Context(), note(server)); err != nil {
				t.Error(err)
			}
			if _, err := bad.Push(t.Context(), note(server)); !errors.Is(err, apns.ReasonInvalidProviderToken) {
				t.Error(err)
			}
		}
	})
}

func TestConfigProblems(t *testing.T) {
	key, err := auth.GenerateSigningKey("ABC123DEFG")
	if err != nil {
		t.Fatal(err)
	}
	sandboxOnly := certificate(t, "com.example.app", true, false)
	tests := map[string]struct {
		cfg  apns.Config
		says []string
	}{
		"nothing":           {apns.Config{}, []string{"Config.Key is missing"}},
		"two credentials":   {apns.Config{Key: key, TeamID: "A1B2C3D4E5", Certificate: sandboxOnly}, []string{"exclude each other"}},
		"team missing":      {apns.Config{Key: key}, []string{"eam"}},
		"wrong environment": {apns.Config{Certificate: sandboxOnly}, []string{"Config.Environment is production"}},
		"http":              {apns.Config{Key: key, TeamID: "A1B2C3D4E5", Endpoint: "http://localhost:1"}, []string{"Config.Endpoint", "TLS"}},
		"path":              {apns.Config{Key: key, TeamID: "A1B2C3D4E5", Endpoint: "localhost/3/device"}, []string{"has a path"}},
		"CA is a file name": {apns.Config{Key: key, TeamID: "A1B2C3D4E5", ExtraRoots: []byte("ca.pem")}, []string{"Config.ExtraRoots", "file name"}},
		"plain number":      {apns.Config{Key: key, TeamID: "A1B2C3D4E5", Timeout: 30}, []string{"Config.Timeout", "nanoseconds"}},
		"too many":          {apns.Config{Key: key, TeamID: "A1B2C3D4E5", MaxConnections: 1000}, []string{"64"}},
		"placeholder":       {apns.Config{Key: key, TeamID: "A1B2C3D4E5", BundleID: "<bundle>"}, []string{"placeholder"}},
		"several at once":   {apns.Config{MaxInFlight: -1, Timeout: -1, Endpoint: "ftp://x"}, []string{"Config.Key", "Config.MaxInFlight", "Config.Timeout", "Config.Endpoint"}},
	}
	for name, test := range tests {
		_, err := apns.New(test.cfg)
		for _, says := range test.says {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v does not say %q", name, err, says)
			}
		}
	}
}

func TestEndpoints(t *testing.T) {
	key, err := auth.GenerateSigningKey("ABC123DEFG")
	if err != nil {
		t.Fatal(err)
	}
	for want, cfg := range map[string]apns.Config{
		"api.push.apple.com:443":          {},
		"api.push.apple.com:2197":         {AlternativePort: true},
		"api.sandbox.push.apple.com:443":  {Environment: apns.Sandbox},
		"api.sandbox.push.apple.com:2197": {Environment: apns.Sandbox, AlternativePort: true},
		"relay.example:443":               {Endpoint: "relay.example"},
		"relay.example:8443":              {Endpoint: "https://relay.example:8443/"},
		"[::1]:2197":                      {Endpoint: "[::1]", AlternativePort: true},
	} {
		cfg.Key, cfg.TeamID = key, "A1B2C3D4E5"
		client, err := apns.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := client.Endpoint(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		client.Close(t.Context())
	}
}

// Nothing that a client logs or hands to hooks shows a secret or a device token,
// whatever happens.
func TestSecretsStayIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		var log bytes.Buffer
		var outcomes, retries, connections int
		client := newClient(t, server, func(c *apns.Config) {
			c.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			c.Hooks = apns.Hooks{
				OnOutcome: func(_ *apns.Notification, e apns.OutcomeEvent) {
					outcomes++
					c.Logger.Info("outcome", "e", e, "err", e.Err)
				},
				OnRetry:      func(_ *apns.Notification, e apns.RetryEvent) { retries++; c.Logger.Info("retry", "e", e, "err", e.Err) },
				OnConnection: func(e apns.ConnectionEvent) { connections++; c.Logger.Info("connection", "e", e, "err", e.Err) },
			}
		})
		for _, f := range []sim.Fault{
			{Kind: sim.FaultAnswer, Reason: proto.ReasonBadDeviceToken, Nth: 2},
			{Kind: sim.FaultAnswer, Reason: proto.ReasonExpiredProviderToken, Nth: 3},
			{Kind: sim.FaultAnswer, Reason: proto.ReasonServiceUnavailable, Nth: 4},
			{Kind: sim.FaultGoAway, Reason: proto.ReasonShutdown, Nth: 6},
			{Kind: sim.FaultResetStream, Nth: 8},
			{Kind: sim.FaultResetConnection, Nth: 10},
		} {
			server.AddFault(t, f)
		}
		for range 12 {
			client.Push(t.Context(), note(server))
		}
		client.Push(t.Context(), &apns.Notification{DeviceToken: server.DeviceToken + "zz", Payload: []byte("{}")})
		client.Close(t.Context())
		if outcomes != 13 || retries < 1 || connections < 4 {
			t.Errorf("%d outcomes, %d retries, %d connection events", outcomes, retries, connections)
		}
		for what, secret := range map[string]string{
			"the device token": server.DeviceToken, "a provider token": "bearer", "a JWT": "eyJ", "the payload": "Hello",
		} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("the log shows %s", what)
			}
		}
	})
}

func TestProxyErrors(t *testing.T) {
	server := apnstest.Start(t)
	for name, proxy := range map[string]string{
		"unknown scheme": "ftp://localhost:1",
		"nobody there":   "http://127.0.0.1:1",
	} {
		u, err := url.Parse(proxy)
		if err != nil {
			t.Fatal(err)
		}
		client := newClient(t, server, func(c *apns.Config) {
			c.Proxy, c.ConnectWait = apns.ProxyURL(u), 10*time.Millisecond
		})
		_, err = client.Push(t.Context(), note(server))
		if c, ok := errors.AsType[*apns.ConnectError](err); !ok || c.Stage != "proxy" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
