package apns_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/internal/exampleapns" // stands in for Apple in these examples
	"aviso.example/payload"
)

// The ten lines that send a push.
func Example() {
	apple := exampleapns.Start() // in your program there is no such line
	defer apple.Close()

	key, err := auth.LoadSigningKey(apple.KeyFile, "") // AuthKey_ABC123DEFG.p8
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	client, err := apns.New(apns.Config{
		Key: key, TeamID: "A1B2C3D4E5", BundleID: "com.example.app",
		Endpoint: apple.Endpoint, ExtraRoots: apple.CA, // leave out: api.push.apple.com
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer client.Close(context.Background())

	_, err = client.Push(context.Background(), &apns.Notification{
		DeviceToken: apple.DeviceToken,
		Payload:     []byte(`{"aps":{"alert":"Hello"}}`),
	})
	fmt.Println("accepted by APNs:", err == nil)
	// Output: accepted by APNs: true
}

// A typed payload brings its push type along.
func ExampleNewNotification() {
	apple := exampleapns.Start()
	defer apple.Close()
	client := exampleClient(apple)
	defer client.Close(context.Background())

	n, err := apns.NewNotification(apple.DeviceToken, payload.Alert{
		Title: "Flight LH 455", Body: "Boarding at gate B42",
		Sound: payload.DefaultSound(), Badge: payload.SetBadge(1),
	})
	if err != nil {
		fmt.Println(err) // names every field that is wrong
		return
	}
	n.Expiration = apns.ExpireAt(time.Now().Add(time.Hour))
	n.CollapseID = "LH455"
	_, err = client.Push(context.Background(), n)
	fmt.Println(apns.OutcomeOf(err))
	// Output: accepted
}

// What to do about each outcome.
func ExampleRejectedError() {
	apple := exampleapns.Start()
	defer apple.Close()
	apple.Unregister(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	client := exampleClient(apple)
	defer client.Close(context.Background())
	registered := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC) // from your database

	_, err := client.Push(context.Background(), &apns.Notification{
		DeviceToken: apple.DeviceToken, Payload: []byte(`{"aps":{"alert":"Hello"}}`),
	})
	if rejected, ok := errors.AsType[*apns.RejectedError](err); ok {
		fmt.Println(rejected.Reason, "-", rejected.Action())
		if rejected.DropDeviceToken(registered) {
			fmt.Println("forget the device token, it died", rejected.Since.UTC().Format(time.DateOnly))
		}
	}
	// Output:
	// Unregistered - drop the device token
	// forget the device token, it died 2026-03-01
}

// Millions of notifications, in flat memory: input is read as fast as outcomes
// are consumed.
func ExampleClient_PushAll() {
	apple := exampleapns.Start()
	defer apple.Close()
	client := exampleClient(apple)
	defer client.Close(context.Background())

	everybody := func(yield func(*apns.Notification) bool) {
		for i := range 10_000 { // rows of your database
			n := &apns.Notification{
				DeviceToken: fmt.Sprintf("%064x", i),
				Payload:     []byte(`{"aps":{"alert":"Hello, everybody"}}`),
				Tag:         i, // finds the row again
			}
			if !yield(n) {
				return
			}
		}
	}
	outcomes := map[apns.Outcome]int{}
	for result := range client.PushAll(context.Background(), everybody) {
		outcomes[result.Outcome]++ // result.Notification, result.Err
	}
	fmt.Println(outcomes[apns.Accepted], "accepted")
	// Output: 10000 accepted
}

// Advice for a reason, as aviso explain prints it.
func ExampleLookupReason() {
	info, _ := apns.LookupReason("BadEnvironmentKeyInToken")
	fmt.Println(info.Status, info.Meaning)
	fmt.Println(info.Advice)
	// Output:
	// 403 the key is limited to the other environment
	// Use the other host, or a key for this environment.
}

func exampleClient(apple *exampleapns.Server) *apns.Client {
	key, err := auth.LoadSigningKey(apple.KeyFile, "")
	if err != nil {
		panic(err)
	}
	client, err := apns.New(apns.Config{
		Key: key, TeamID: "A1B2C3D4E5", BundleID: "com.example.app",
		Endpoint: apple.Endpoint, ExtraRoots: apple.CA,
	})
	if err != nil {
		panic(err)
	}
	return client
}
