package apnsclient

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/sim"
)

func push(t *testing.T, apple *apnstest.Server) sim.Push {
	t.Helper()
	client := New(t, apple, func(cfg *apns.Config) { cfg.Timeout = 5 * time.Second })
	n := &apns.Notification{DeviceToken: apple.DeviceToken, Payload: []byte(`{"aps":{"alert":"x"}}`), Expiration: apns.ExpireAfter(time.Hour)}
	if _, err := client.Push(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return apple.WaitForPush(t, sim.Filter{DeviceToken: apple.DeviceToken})
}

func TestOnLoopback(t *testing.T) {
	seen := push(t, apnstest.Start(t))
	if text := fmt.Sprintf("%+v", seen); !strings.Contains(text, `Payload:{"aps":{"alert":"x"}}`) {
		t.Errorf("the payload cannot be read in %s", text)
	}
}

func TestInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := push(t, apnstest.StartMem(t))
		if want := time.Now().Add(time.Hour).Unix(); seen.Expiration == nil || *seen.Expiration != want {
			t.Errorf("it expires at %v, want %d", seen.Expiration, want)
		}
	})
}
