// Package sim is an APNs simulator: a real TLS and HTTP/2 server that checks
// what Apple checks, answers with Apple's words, and misbehaves on request,
// frame by frame.
//
// It is written over x/net's Framer and HPACK rather than over net/http, so that
// a test can have a GOAWAY with any last stream id, a window that never opens or
// a connection that swallows everything. It shares no encoding with the client in
// this module; what the two have in common is the vocabulary of internal/proto.
//
//	srv, err := sim.New(sim.Config{TrustAnyKey: true})
//	addr, err := srv.Start("127.0.0.1:0")   // https://addr/3/device/...
//	http.ListenAndServe("127.0.0.1:8080", srv.Handler()) // the test API
//
// The three APIs of Apple's hosts share its listeners: pushes to devices,
// broadcasts to channels, and channel management. What a push of type liveactivity
// does to the device can be read back: see Server.Activities, and Server.Subscribe
// for devices that listen to a channel.
//
// The binary protocol that Apple switched off in 2021 has listeners of its own
// (Server.StartBinary, Server.StartFeedback), for programs that still speak it:
// the same devices, the same recorder, and error packets instead of answers.
//
// Go tests have it in one line with package apnstest.
//
// What is certain about Apple's behaviour, what is guessed (and can be chosen in
// [Guesses]) and what is left out is listed in docs/simulator-fidelity.md.
//
// # Time
//
// Provider-token age, the 20-minute rule, expirations and timestamps follow
// Config.Now plus Server.SetClockOffset. Delays, timeouts and long polls follow
// the process clock, which is virtual inside a testing/synctest bubble.
package sim
