package apnstest_test

import (
	"crypto/tls"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// What a test of an old program looks like: here the program is three lines.
func TestStartBinary(t *testing.T) {
	apple := apnstest.Start(t)
	oldProgram(t, apple, apple.StartBinary(t))
}

func TestStartBinaryMem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		apple := apnstest.StartMem(t)
		oldProgram(t, apple, apple.StartBinary(t))
	})
}

func oldProgram(t *testing.T, apple *apnstest.Server, old *apnstest.Binary) {
	dial := func(addr string) *tls.Conn {
		nc, err := old.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(apnstest.WaitTimeout))
		return tls.Client(nc, &tls.Config{RootCAs: apple.RootCAs, ServerName: "localhost", Certificates: []tls.Certificate{old.Certificate}})
	}
	frame := func(deviceToken string) []byte {
		b, err := hex.DecodeString("000020" + deviceToken + "0002" + hex.EncodeToString([]byte("{}")))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	gone := strings.Repeat("ab", 32)
	if err := apple.PutDevice(sim.Device{DeviceToken: gone, State: sim.Unregistered}); err != nil {
		t.Fatal(err)
	}
	gateway := dial(old.Gateway)
	defer gateway.Close()
	for _, deviceToken := range []string{gone, apple.DeviceToken} {
		if _, err := gateway.Write(frame(deviceToken)); err != nil {
			t.Fatal(err)
		}
	}
	push := apple.WaitForPush(t, sim.Filter{DeviceToken: apple.DeviceToken})
	if push.Protocol != sim.ProtocolBinary || push.Outcome != sim.Accepted || push.Topic != apple.Topic {
		t.Errorf("%+v", push)
	}
	feedback := dial(old.Feedback)
	defer feedback.Close()
	if list, err := io.ReadAll(feedback); err != nil || hex.EncodeToString(list[4:]) != "0020"+gone {
		t.Errorf("%x %v", list, err)
	}
}
