package interop

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/legacy/gateway"
)

func TestGatewayAndApn1(t *testing.T) {
	keys := makePKI(t)
	s := simulate(t, keys)
	const count = 10_000
	prefix := fmt.Sprintf("%048x", 0xabc)
	device := func(i int) string { return prefix + fmt.Sprintf("%016x", i) }
	for i := 37; i < count; i += 100 {
		s.call(t, "PUT", "/sim/v1/devices/"+device(i), map[string]any{"device_token": device(i), "environment": "production"}, nil)
	}
	server, err := auth.LoadCertificate(keys.serverBoth, "")
	if err != nil {
		t.Fatal(err)
	}
	client, err := auth.ParseCertificate(append(readFile(t, keys.clientCert), readFile(t, keys.clientKey)...), "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := auth.LoadSigningKey(keys.signingKey, "")
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(gateway.Config{Certificate: server, FeedbackFile: filepath.Join(t.TempDir(), "f.db"), Logger: slog.Default(),
		Providers: []gateway.Provider{{Name: "x", Certificates: []*x509.Certificate{client.TLS.Leaf}, APNs: apns.Config{
			Key: key, TeamID: teamID, BundleID: bundleID, Environment: apns.Sandbox, Endpoint: s.addr, ExtraRoots: readFile(t, s.ca),
		}}}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := gateway.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go g.Serve(l)
	defer g.Shutdown(context.Background())
	var result struct {
		Failed []struct {
			Status, Number int
			Device         string
		}
		Forgotten    int
		SocketErrors []string
		Connections  int
	}
	addr := l.Addr().String()
	settings := map[string]any{"host": "127.0.0.1", "port": json.Number(port(addr)), "ca": keys.ca, "cert": keys.clientCert, "key": keys.clientKey,
		"count": count, "prefix": prefix, "expiry": time.Now().Add(time.Hour).Unix(), "silence": 2000}
	runScript(t, "apn1.cjs", settings, &result)
	t.Logf("failed %d forgotten %d errors %v connections %d; %+v", len(result.Failed), result.Forgotten, result.SocketErrors, result.Connections, g.Stats())
	var all struct {
		Pushes []struct {
			DeviceToken string `json:"device_token"`
			Outcome     string
		}
	}
	s.call(t, "GET", "/sim/v1/pushes?limit=100000", nil, &all)
	times := map[string]int{}
	for _, p := range all.Pushes {
		if p.Outcome == "accepted" {
			times[p.DeviceToken]++
		}
	}
	lost, doubled := 0, 0
	for i := range count {
		switch n := times[device(i)]; {
		case i%100 == 37:
		case n == 0:
			lost++
		case n > 1:
			doubled++
		}
	}
	t.Logf("accepted %d lost %d doubled %d", len(times), lost, doubled)
}
