// Package api is the HTTP API of `aviso serve`: messages and batches in, what
// became of them out, over an engine.Engine.
//
// Routing, parameters, documentation and the small endpoints are huma's. The two
// that are called millions of times, POST /v1/messages and POST /v1/batches, read
// their bodies themselves, with internal/message, and are documented by hand; a
// test holds the document against what they take.
//
// Whatever goes wrong is answered with a problem of RFC 9457 that names the
// field, the limit and the likely mistake, and never repeats a device token, a
// payload or a key.
package api
