// Package webservice is the server side of Apple's protocol that keeps Wallet
// passes and orders up to date, and the sender of the pushes that set it off.
//
//	device                          Handler                 Updater          APNs
//	  │ register (device token) ──────►│ Store                 │               │
//	  │                                │      Changed ────────►│ Store, outbox │
//	  │◄───────────────────────────────┼───────────────────────┼── push {} ────┤
//	  │ what changed since TAG? ──────►│ Store                 │◄── outcome ───┤
//	  │ fetch (If-Modified-Since) ────►│ Config.Package
//
// A [Handler] answers devices; there is one for passes and one for orders, which
// differ in words only. What a pass looks like at the moment is for the caller to
// say, in a callback. An [Updater] is told what changed. Both keep what they have to
// remember in a [Store]; package wallet/sqlite is one, and package
// wallet/webservice/storetest proves others.
//
// # What is promised
//
//   - What Changed returned nil for is never lost: the store has it, and a device
//     that is registered is told until APNs took the push or refused it for good,
//     across restarts and outages. A push that is repeated does no harm.
//   - A change between two questions for what changed is in the second answer. The
//     tag is the store's sequence, not a time, so neither clocks nor the number of
//     writers matter.
//   - A device never keeps an old pass because a new one came within the same second:
//     see [Store.Change].
//   - A registration is dropped when the device says so, or when APNs says, with a time
//     after the registration, that the device token is no longer active. Nothing else
//     drops one, and BadDeviceToken least of all.
//
// Sources: "Adding a Web Service to Update Passes" and the pages of the five
// endpoints under it; for orders the endpoint pages of Wallet Orders; for
// If-Modified-Since the archived "PassKit Web Service Reference", since the current
// pages do not mention it and devices send it.
package webservice
