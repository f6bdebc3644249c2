package apns_test

import (
	"testing"
	"testing/synctest"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

func TestPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := apnstest.StartMem(t)
		client := newClient(t, server, nil)
		for range 3 {
			n := note(server)
			receipt, err := client.Push(t.Context(), n)
			if err != nil {
				t.Fatal(err)
			}
			got := server.WaitForPush(t, sim.Filter{ID: receipt.ID.String()})
			if string(got.Payload) != payload || got.PushType != "alert" || got.Priority != 10 || got.Topic != server.Topic || got.UniqueID != receipt.UniqueID {
				t.Errorf("%+v", got)
			}
		}
	})
}
