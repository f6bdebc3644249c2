// Package apnsclient makes clients of package apns for a simulator of package apnstest,
// in one line:
//
//	apple := apnstest.Start(t)
//	client := apnsclient.New(t, apple)
//	result, err := client.Push(ctx, &apns.Notification{DeviceToken: apple.DeviceToken, Payload: payload})
//
// It is a package of its own so that apnstest can serve the tests of any client.
package apnsclient

import (
	"context"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/auth"
)

// farewell bounds the end of a client.
const farewell = 5 * time.Second

// Config returns what a client for the simulator is made of: its signing key, its bundle
// identifier, where it listens and whom to trust. It works with apnstest.Start and
// StartMem. What a test wants otherwise it changes.
func Config(t testing.TB, apple *apnstest.Server) apns.Config {
	t.Helper()
	key, err := auth.ParseSigningKey(apple.KeyPEM, apple.KeyID)
	if err != nil {
		t.Fatal(err)
	}
	return apns.Config{
		Key: key, TeamID: apple.TeamID, BundleID: apple.Topic,
		Endpoint: apple.Endpoint, ExtraRoots: apple.CAPEM, DialContext: apple.DialContext,
		Now: apple.Now,
	}
}

// New returns a client for the simulator, which ends with the test. Changes are made to
// its configuration in their order.
func New(t testing.TB, apple *apnstest.Server, changes ...func(*apns.Config)) *apns.Client {
	t.Helper()
	cfg := Config(t, apple)
	for _, change := range changes {
		change(&cfg)
	}
	client, err := apns.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		client.Close(ctx)
	})
	return client
}
