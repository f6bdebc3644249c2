// Package broadcast manages the channels of an app and makes the notifications
// that go to them (iOS 18; "Setting up broadcast push notifications").
//
// A channel carries updates and ends of Live Activities to every device that
// listens to it, with one push. Manager makes and deletes channels, which happens
// rarely and on a host of its own; sending goes through the ordinary *apns.Client,
// whose outcomes, resends and hooks are those of pushes to devices:
//
//	manager, err := broadcast.NewManager(cfg) // the apns.Config of the client
//	match, err := manager.Create(ctx, broadcast.StoreLatest)
//	...
//	n, err := match.Notification(payload.LiveActivityUpdate{
//		Timestamp: time.Now(), ContentState: state,
//	}, apns.PriorityConserve, apns.Expiration{})
//	receipt, err := client.Push(ctx, n)
//
// A Live Activity cannot be started by broadcast. Apps start one that listens to
// a channel by themselves, or a push to each device does
// (payload.UpdatesByChannel). Package liveactivity keeps timestamps in order.
package broadcast
