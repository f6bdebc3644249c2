package broadcast_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/broadcast"
	"aviso.example/internal/exampleapns" // stands in for Apple in these examples
	"aviso.example/payload"
)

// A channel is made, used and deleted.
func Example() {
	apple := exampleapns.Start() // in your program there is no such line
	defer apple.Close()
	ctx := context.Background()

	key, err := auth.LoadSigningKey(apple.KeyFile, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg := apns.Config{
		Key: key, TeamID: "A1B2C3D4E5", BundleID: "com.example.app",
		Endpoint: apple.Endpoint, ExtraRoots: apple.CA, // leave out, and set Environment
	}
	manager, err := broadcast.NewManager(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close(ctx)
	client, err := apns.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	channel, err := manager.Create(ctx, broadcast.StoreLatest) // store all of it in your database
	if err != nil {
		fmt.Println(err)
		return
	}
	n, err := channel.Notification(payload.LiveActivityUpdate{
		Timestamp:    time.Now(),
		ContentState: map[string]string{"gate": "B42"},
	}, apns.PriorityConserve, apns.Expiration{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Push(ctx, n)
	fmt.Println("the gate:", apns.OutcomeOf(err))

	fmt.Println("deleted:", manager.Delete(ctx, channel.ID) == nil)
	_, err = client.Push(ctx, n)
	fmt.Println("the gate again:", apns.OutcomeOf(err), errors.Is(err, apns.ReasonChannelNotRegistered))
	// Output:
	// the gate: accepted
	// deleted: true
	// the gate again: rejected true
}

// What contradicts the channel's policy is said before anything is sent.
func ExampleChannel_Notification() {
	channel := broadcast.Channel{ID: "dHN0LXNyY2gtY2hubA==", BundleID: "com.example.app", Policy: broadcast.StoreNothing}
	update := payload.LiveActivityUpdate{Timestamp: time.Now(), ContentState: struct{}{}}
	_, err := channel.Notification(update, apns.PriorityConserve, apns.ExpireAt(time.Now().Add(time.Hour)))
	fmt.Println(err)
	// Output:
	// it is invalid: Expiration has to be ExpireImmediately: the channel stores nothing, and APNs would answer BadExpirationDate. Make a channel with StoreLatest for devices that come online later
}
