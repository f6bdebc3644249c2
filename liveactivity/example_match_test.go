package liveactivity_test

import (
	"context"
	"fmt"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/broadcast"
	"aviso.example/internal/exampleapns" // stands in for Apple in these examples
	"aviso.example/liveactivity"
	"aviso.example/payload"
	"aviso.example/sim"
)

// Match is the content state of a football match, as the app's Swift struct
// decodes it.
type Match struct {
	Home   int `json:"home"`
	Away   int `json:"away"`
	Minute int `json:"minute"`
}

// A football match is broadcast to ten thousand devices: four pushes in all.
func ExampleBroadcast() {
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
	client, err := apns.New(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close(ctx)
	manager, err := broadcast.NewManager(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer manager.Close(ctx)
	channel, err := manager.Create(ctx, broadcast.StoreLatest)
	if err != nil {
		fmt.Println(err)
		return
	}

	// In ten thousand apps, people open the match:
	// Activity.request(attributes: …, pushType: .channel(channelID))
	fans := make([]string, 10_000)
	for i := range fans {
		fans[i] = fmt.Sprintf("%064x", i)
	}
	if _, err := apple.Simulator().Subscribe(channel.ID, fans...); err != nil {
		fmt.Println(err)
		return
	}

	match, err := liveactivity.OnChannel[Match](liveactivity.Config{Sender: client}, channel, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	say := func(what string, _ apns.Receipt, err error) { fmt.Println(what, apns.OutcomeOf(err)) }
	// The minute costs no budget; the goal lights up at once.
	r, err := match.Update(ctx, Match{0, 0, 10}, liveactivity.UpdateOptions{})
	say("10 minutes:", r, err)
	r, err = match.Update(ctx, Match{1, 0, 23}, liveactivity.UpdateOptions{
		Alert: &payload.LiveActivityAlert{Title: "Goal!", Body: "1-0", Sound: "default"},
	})
	say("goal:", r, err)
	r, err = match.Update(ctx, Match{1, 0, 90}, liveactivity.UpdateOptions{})
	say("90 minutes:", r, err)
	r, err = match.End(ctx, Match{1, 0, 93}, liveactivity.EndOptions{DismissalDate: time.Now().Add(15 * time.Minute)})
	say("final whistle:", r, err)
	_, err = match.End(ctx, Match{1, 0, 93}, liveactivity.EndOptions{})
	fmt.Println(err)

	ended := apple.Simulator().Activities(sim.ActivityFilter{ChannelID: channel.ID, State: sim.ActivityEnded})
	fmt.Printf("%d devices show %s\n", len(ended), ended[9_999].ContentState)
	// Output:
	// 10 minutes: accepted
	// goal: accepted
	// 90 minutes: accepted
	// final whistle: accepted
	// liveactivity: the activity has ended
	// 10000 devices show {"home":1,"away":0,"minute":93}
}
