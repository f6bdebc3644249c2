// Package webpush sends standard Web Push messages: to Safari through Apple's
// push service, and to every other browser through its maker's. It needs no
// Apple account; the page and the server share a VAPID key, and that is all.
//
//	key, err := webpush.LoadKey("vapid.pem")
//	// ...
//	client, err := webpush.New(webpush.Config{Key: key, Subject: "mailto:push@example.com"})
//	// ...
//	defer client.Close(ctx)
//
//	subscription, err := webpush.ParseSubscription(jsonFromTheBrowser)
//	// ...
//	receipt, err := client.Send(ctx, subscription, &webpush.Message{Payload: []byte("Hello")})
//	if rejected, ok := errors.AsType[*webpush.RejectedError](err); ok && rejected.Gone() {
//		// forget the subscription
//	}
//
// # Outcomes
//
// A message has one of four outcomes, in the words of package apns: Accepted
// (err is nil), Rejected (a [*RejectedError]), NotSent (a [*NotSentError]: it was
// certainly not processed) and Unknown (an [*UnknownError]: it was handed to the
// connection and no answer came). The push service's word is about the service:
// Accepted does not mean that a browser has it.
//
// What decides between the last two is RFC 9110 section 9.2.2: a request may be
// repeated only if it is known not to have been applied. A request whose last
// byte was never given to the connection is not sent, nor is one that the peer
// refused unread (REFUSED_STREAM, or GOAWAY below its stream; RFC 9113 sections
// 6.8 and 8.7). RST_STREAM with any other code proves nothing, and neither do 502
// and 504: a gateway passed the request on and does not know what became of it.
//
// # Endpoints come from strangers
//
// A subscription is input from whoever visits a page, and its endpoint is a URL
// that this machine will connect to. So a client speaks https on port 443 only,
// to names only, never to an address that is not a public one (looked at when the
// connection is made, after DNS), follows no redirect, and reads little of an
// answer. [Config.Hosts] limits it to push services that are known by name.
//
// The path of an endpoint is a secret: whoever has it and the VAPID key can send.
// Errors, logs and everything that prints a [Subscription] name the host only.
//
// # Sources
//
// RFC 8030 (the protocol), RFC 8188 and 8291 (encryption), RFC 8292 (VAPID), the
// W3C's Push API (declarative messages), and Apple's "Sending web push
// notifications in web apps and browsers".
package webpush
