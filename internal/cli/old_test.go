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
// of a notification, or the device tokens of the feedback service. One that is to be
// refused is waited for; of the others, silence is all there is to hear.
func oldCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 3 || len(args) > 5 || len(args) == 5 && args[4] != "refused" {
		ts.Fatalf("usage: old NAME CA CERT [DEVICE [refused]]")
	}
	ca, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	certificate, err := auth.LoadCertificate(ts.MkAbs(args[2]), "")
	ts.Check(err)
	ctx := context.Background()
	if len(args) == 3 {
		cfg := legacy.FeedbackConfig{Certificate: certificate, Endpoint: ts.Getenv(args[0] + "_feedback"), ExtraRoots: ca}
		for dead, err := range legacy.Feedback(ctx, cfg) {
			ts.Check(err)
			fmt.Fprintln(ts.Stdout(), "dead", dead.DeviceToken)
		}
		return
	}
	settle := 100 * time.Millisecond
	if len(args) == 5 {
		settle = time.Hour
	}
	client, err := legacy.New(legacy.Config{
		Certificate: certificate, Endpoint: ts.Getenv(args[0] + "_binary"), ExtraRoots: ca, SettleTime: settle,
	})
	ts.Check(err)
	defer client.Close(ctx)
	_, err = client.Push(ctx, &apns.Notification{DeviceToken: args[3], Payload: []byte(`{"aps":{"alert":"Hello"}}`)})
	fmt.Fprintln(ts.Stdout(), apns.OutcomeOf(err), err)
}
