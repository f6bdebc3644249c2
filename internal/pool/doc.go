// Package pool decides which connection takes the next request, and when to
// open, replace and close connections. It knows HTTP/2 calls, not
// notifications.
//
// Calls wait in one queue. Connections pull from it whenever their peer allows
// more streams, so work flows to whoever has room and nobody has to guess. A
// connection that finds the queue empty is "hungry" and is woken by the next
// call. One goroutine, the manager, watches over everything that is not a call:
// it dials when there is demand and no room, backs off when dialling fails,
// retires what is draining, silent, stuck or old, and fails calls that have
// waited for a connection for too long.
//
// Submitting a call takes one atomic exchange; locks are taken once per batch
// that a connection pulls.
package pool
