// Package gateway lets programs that still speak the binary protocol send over
// today's interface: it is the server of 2009 to 2021, and behind it package
// apns. An old program needs nothing but another host name.
//
//	g, err := gateway.New(gateway.Config{Certificate: certificate, Providers: []gateway.Provider{{
//		Name: "shop", Certificates: []*x509.Certificate{oldOne}, APNs: apns.Config{Key: key, TeamID: team, BundleID: "com.example.app"},
//	}}})
//	l, err := gateway.Listen(ctx, ":2195")
//	go g.Serve(l)
//
// # What a program sees
//
// What it saw at Apple: nothing, as long as all is well. When APNs rejects a
// notification, the gateway waits until everything before it has been judged,
// sends one error packet that names it, and ends the connection; what the
// program wrote after it counts as thrown away, and the program sends it again.
// Device tokens that APNs calls dead are no error; they are listed on the
// feedback port.
//
// # What it does not see
//
// The protocol was made for a server that judges one notification at a time.
// Today's answers come in any order, a round trip later, so that APNs has often
// accepted some of what followed a rejected one. When the program sends those
// again, the gateway recognises them by their content and does not: each is
// accepted once (ledger.go). For the same reason it reads no further ahead than
// old programs remember (Config.Window).
//
// Trouble that is not the notification's fault, such as no connection to APNs,
// or a signing key that was revoked, has no word in the protocol. The gateway
// holds what it has read and reads no more until it is over, so that the program
// waits instead of losing notifications (route.go).
//
// # Path of a notification
//
// A goroutine for each connection reads frames into slots (session.go) and hands
// them to the route of its provider, which feeds one apns.Client.PushAll for all
// its connections (route.go). Outcomes come back on that client's goroutine,
// are turned into verdicts (translate.go), and move the connection's judged mark
// (window.go).
package gateway
