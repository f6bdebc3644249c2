package main

func (b *bench) renderMethod(w *page) {
	w.line(`## How it is measured

- **CPU** is what the kernel charged to the client's process, user and system, from after the warm-up
  (connections stand, up to 20,000 notifications sent) to the last outcome, divided by what was accepted. Go, Rust,
  Java and JavaScript clients ask for it themselves around the measured part. h2load cannot, so the CPU time
  of a run with one request on each connection is taken off its total. What several threads
  use counts, garbage collection and compilation included.
- **Requests are the same**: alert, priority 10, topic, apns-id, provider token, one payload. 16,384 device
  tokens go round, so that the peer's header table never helps; h2load has one path and one apns-id, which
  its header compression sends as a byte each. Aviso makes the apns-id itself and sets a deadline on each
  notification; hooks are unset, except where latency is measured.
- **Everybody may have 1,000 under way** on each connection, which is the stream limit: 1,000 goroutines for
  Go clients (one client object for each connection, as their manuals say), 1,000 tasks or
  futures elsewhere, -m 1000 for h2load. PushAll holds 8,192, of which 1,000 are under way.
- **The server** starts every connection with all 1,000 streams. APNs and the simulator otherwise start with
  one until a provider token is accepted, and clients that write before they have read so lose requests
  then. Its CPU is counted over a client's whole life and divided by all requests it accepted meanwhile.
- **Peak memory** is the most the client's process had resident in its life, warm-up and all that the
  measurement itself keeps included (about 10 MiB in Go clients).
- **a2** has Apple's hosts and the web's certificate authorities compiled in, and writes provider tokens in a
  base64 that the simulator refuses; strangers/a2/install changes these and nothing else. **pushy** uses the
  JDK's TLS and has up to 100,000 notifications, or ten seconds, more to warm up, since its code is
  compiled while it runs; it signs in DER, which the server accepts here.
- **4 KB payloads** meet the server's connection window of 65,535 bytes: 15 of them are under way, not 1,000.
  a2 leaves Nagle's algorithm on and waits 40 ms whenever nothing else is under way.
- Everything stays on loopback, is bounded in number and time, and ends by itself.
- ` + "`aviso bench`" + ` measures Aviso's client against a simulator of yours.
`)
}
