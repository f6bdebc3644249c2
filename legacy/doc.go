// Package legacy speaks the binary protocol, with which providers reached APNs
// from 2009 until Apple switched it off on 31 March 2021.
//
// In those days a program opened a TLS connection with its app's certificate to
// port 2195 and wrote notifications, one after the other, in a small binary
// frame each. APNs said nothing as long as all was well. If it disliked one, it
// sent a single packet of six bytes, a status and the identifier of that
// notification, and hung up; everything written after it had been thrown away
// unread. The program had to remember what it had written, connect again and
// send that part again. A second service, on port 2196, listed the device
// tokens of devices that had removed the app. Nothing of this reaches a device
// any more: today's interface is HTTP/2, and package [apns] speaks it.
//
// This package is for programs of that time that are still there. [Client]
// sends over the binary protocol to a gateway that still understands it,
// [Feedback] reads the list of dead device tokens, and [Decoder], [Frame],
// [ErrorPacket] and [Unregistered] are the bytes, for whoever writes a gateway
// or a test server, or reads a capture.
//
//	certificate, err := auth.LoadCertificate("push.p12", password)
//	...
//	client, err := legacy.New(legacy.Config{Certificate: certificate, Endpoint: "gateway.example.com:2195"})
//	...
//	defer client.Close(ctx)
//	receipt, err := client.Push(ctx, &apns.Notification{DeviceToken: deviceToken, Payload: payload})
//
// # Outcomes
//
// A notification has one of the four outcomes of package apns, in the same
// types, so that a caller can change from one client to the other. What they
// rest on is weaker here:
//
//   - Accepted: the server was silent for Config.SettleTime after the
//     notification was written, or an error packet named a later one. Silence
//     is the only success there is. A packet that comes later still is noticed,
//     counted and reported ([LateError]), but the outcome has been told.
//   - Rejected: an error packet named it. The *apns.RejectedError has today's
//     word for the same trouble, and the [Status] as its Cause.
//   - NotSent: it was never written whole, or it was written after one that an
//     error packet named, and could not be sent again in time.
//   - Unknown: the connection ended without a packet, or the caller gave up.
//     Nobody can know then which of the notifications in flight were taken. With
//     ResendUnknown they are sent again, and may arrive twice; without it they
//     end so.
//
// What certainly was not processed is sent again by itself, once, in its order
// and before anything new; what was sent is not. The rule is a table in
// replay.go.
//
// A line that goes dead without a sign is as silent as success. On Linux the
// client has the kernel end connections on which nothing is acknowledged, before
// anything settles; elsewhere, and for a server that reads and forgets, the
// protocol has no answer.
//
// # Sources
//
// "Local and Remote Notification Programming Guide" in Apple's documentation
// archive, chapters "Binary Provider API" and "Legacy Notification Format".
package legacy
