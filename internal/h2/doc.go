// Package h2 is one HTTP/2 client connection for many small requests. It knows
// nothing of APNs.
//
// A connection has two goroutines. The writer pulls calls from a Source
// whenever the peer allows more streams, encodes as many as fit into one
// buffer, and hands that buffer to the network in one Write. The reader parses
// whatever arrived in one Read and hands every call that ended to the Handler
// in one go. One mutex guards what both touch; each takes it once per buffer,
// not once per request. One timer serves deadlines, PING and stalled writes.
//
// Every call taken from the Source ends exactly once: with an answer, or with a
// *Failure that says whether the peer can have processed it.
//
// The rules are those of RFC 9113 (HTTP/2) and RFC 7541 (HPACK). Frames that
// come with every answer are parsed in place; all others go through x/net's
// Framer, which knows every way they can be wrong.
package h2
