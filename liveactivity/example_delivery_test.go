package liveactivity_test

import (
	"context"
	"fmt"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/internal/exampleapns"
	"aviso.example/liveactivity"
	"aviso.example/payload"
	"aviso.example/sim"
)

// Delivery and Stage are the app's attributes and content state.
type Delivery struct {
	Order int `json:"order"`
}

type Stage struct {
	Name    string            `json:"name"`
	Arrival payload.SwiftDate `json:"arrival"` // let arrival: Date
}

// A delivery is started on one device by push, updated and ended.
func ExampleActivity() {
	apple := exampleapns.Start() // in your program there is no such line
	defer apple.Close()
	ctx := context.Background()

	key, err := auth.LoadSigningKey(apple.KeyFile, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := apns.New(apns.Config{
		Key: key, TeamID: "A1B2C3D4E5", BundleID: "com.example.app",
		Endpoint: apple.Endpoint, ExtraRoots: apple.CA, // leave out, and set Environment
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)

	delivery, err := liveactivity.New[Delivery, Stage](liveactivity.Config{Sender: client, AttributesType: "DeliveryAttributes"})
	if err != nil {
		fmt.Println(err)
		return
	}
	arrival := payload.SwiftDate(time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC))
	say := func(what string, err error) { fmt.Println(what, apns.OutcomeOf(err)) }

	// The app reported its push-to-start device token when it was installed.
	_, err = delivery.Start(ctx, apple.DeviceToken, Delivery{Order: 42}, Stage{"packed", arrival}, liveactivity.StartOptions{
		Alert: payload.LiveActivityAlert{Title: "Order 42", Body: "is on its way"},
	})
	say("start:", err)

	// The activity appears, and the app reports its update device token to you.
	show := func() sim.Activity {
		a := apple.Simulator().Activities(sim.ActivityFilter{DeviceToken: apple.DeviceToken})[0]
		fmt.Printf("  the device shows %s: %s\n", a.State, a.ContentState)
		return a
	}
	if err := delivery.Follow(ctx, show().UpdateDeviceToken); err != nil {
		fmt.Println(err)
	}
	_, err = delivery.Update(ctx, Stage{"in your street", arrival}, liveactivity.UpdateOptions{})
	say("update:", err)
	show()
	_, err = delivery.End(ctx, Stage{"delivered", arrival}, liveactivity.EndOptions{})
	say("end:", err)
	show()
	// Output:
	// start: accepted
	//   the device shows active: {"name":"packed","arrival":819828000}
	// update: accepted
	//   the device shows active: {"name":"in your street","arrival":819828000}
	// end: accepted
	//   the device shows ended: {"name":"delivered","arrival":819828000}
}
