// Package apns sends notifications to the Apple Push Notification service and
// says exactly what became of each.
//
//	key, err := auth.LoadSigningKey("AuthKey_ABC123DEFG.p8", "")
//	...
//	client, err := apns.New(apns.Config{Key: key, TeamID: "A1B2C3D4E5", BundleID: "com.example.app"})
//	...
//	defer client.Close(ctx)
//	receipt, err := client.Push(ctx, &apns.Notification{
//		DeviceToken: deviceToken,
//		Payload:     []byte(`{"aps":{"alert":"Hello"}}`),
//	})
//
// A notification has one of four outcomes, which are never blurred:
//
//   - Accepted: APNs took it (which does not mean that it was delivered). The
//     error is nil.
//   - Rejected: APNs refused it and said why. The error is a *RejectedError
//     with Apple's word, what to do about it, and a sentence of advice.
//   - NotSent: it was certainly not processed, so sending it again is safe. The
//     error is a *NotSentError.
//   - Unknown: it was written and no answer came. Sending it again may
//     duplicate it. The error is an *UnknownError.
//
// The client resends by itself what was not processed, and what APNs asks to
// send later, within the caller's deadline and always under the same apns-id.
// It keeps few, long-lived connections, follows the stream limit that APNs
// keeps changing, and renews provider tokens inside Apple's two limits.
//
// A notification to a broadcast channel (Notification.ChannelID) goes the same way;
// package broadcast makes channels.
//
// Push sends one notification and waits. PushAll sends millions with bounded
// memory. Both may be used by many goroutines at once.
package apns
