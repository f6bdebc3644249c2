package apns_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hello = `{"aps":{"alert":"Hello"}}`

// newClient makes a client for a simulator; change may adjust its Config.
func newClient(t testing.TB, server *apnstest.Server, change func(*apns.Config)) *apns.Client {
	t.Helper()
	key, err := auth.ParseSigningKey(server.KeyPEM, server.KeyID)
	if err != nil {
		t.Fatal(err)
	}
	cfg := apns.Config{
		Key: key, TeamID: server.TeamID, BundleID: server.Topic,
		Endpoint: server.Endpoint, ExtraRoots: server.CAPEM,
		DialContext: server.DialContext,
	}
	if change != nil {
		change(&cfg)
	}
	client, err := apns.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		client.Close(ctx)
	})
	return client
}

func note(server *apnstest.Server) *apns.Notification {
	return &apns.Notification{DeviceToken: server.DeviceToken, Payload: []byte(hello)}
}

func rejected(t testing.TB, err error) *apns.RejectedError {
	t.Helper()
	r, ok := errors.AsType[*apns.RejectedError](err)
	if !ok {
		t.Fatalf("the outcome is %v: %v", apns.OutcomeOf(err), err)
	}
	return r
}
