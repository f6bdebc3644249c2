// Package liveactivity keeps what a server has to remember about a Live Activity:
// where its updates go, which timestamp came last, and whether it has ended.
//
// Activity is for one activity on one device. It starts by push, or by itself in
// the app; the app then reports an update device token, which may change at any
// time. Broadcast is for one event that many devices follow through a channel.
//
//	delivery, err := liveactivity.New[Attributes, State](liveactivity.Config{Sender: client, AttributesType: "DeliveryAttributes"})
//	_, err = delivery.Start(ctx, pushToStartDeviceToken, Attributes{Order: 42}, State{Stops: 7}, liveactivity.StartOptions{Alert: alert})
//	err = delivery.Follow(ctx, updateDeviceToken) // whenever the app reports one
//	_, err = delivery.Update(ctx, State{Stops: 6}, liveactivity.UpdateOptions{})
//	_, err = delivery.End(ctx, State{}, liveactivity.EndOptions{})
//
// # Timestamps
//
// A device shows the state with the newest timestamp, in whole seconds, and
// ignores what is older, whatever the order of arrival. Here each push has a
// timestamp of its own that is later than the one before, even if two fall into
// one second: pushes may then overtake each other and nothing waits. A server that
// sends more often than once a second runs ahead of the clock by as many seconds.
//
// # Budget
//
// Priority 10 counts against an hourly budget that Apple does not disclose, and
// over it pushes are throttled although APNs accepts them; priority 5 does not
// count ("Starting and updating Live Activities with ActivityKit push
// notifications"). So updates go out with priority 5, unless they have an alert or
// the caller says 10: for the goal, not for the minute.
package liveactivity
