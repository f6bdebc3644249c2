package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/legacy"
)

// oldCommand is a program that speaks the binary protocol: it prints the outcome
// of a notification, or the device tokens of the feedback service.
func oldCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: old NAME CA CERT [DEVICE]")
	}
	ca, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	certificate, err := auth.LoadCertificate(ts.MkAbs(args[2]), "")
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if len(args) == 3 {
		cfg := legacy.FeedbackConfig{Certificate: certificate, Endpoint: ts.Getenv(args[0] + "_feedback"), ExtraRoots: ca}
		for dead, err := range legacy.Feedback(ctx, cfg) {
			ts.Check(err)
			fmt.Fprintln(ts.Stdout(), "dead", dead.DeviceToken)
		}
		return
	}
	client, err := legacy.New(legacy.Config{
		Certificate: certificate, Endpoint: ts.Getenv(args[0] + "_binary"), ExtraRoots: ca, SettleTime: 500 * time.Millisecond,
	})
	ts.Check(err)
	defer client.Close(ctx)
	_, err = client.Push(ctx, &apns.Notification{DeviceToken: args[3], Payload: []byte(`{"aps":{"alert":"Hello"}}`)})
	fmt.Fprintln(ts.Stdout(), apns.OutcomeOf(err), err)
}
