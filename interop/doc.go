// Package interop proves Aviso against strangers: its client against servers and
// proxies that other people wrote, its simulator against their clients. What
// client and simulator would agree on between themselves proves nothing.
//
// There is no code here but tests. They start the strangers as processes of
// their own on loopback ports, send a bounded number of notifications within a
// bounded time, and end them again. `make interop` installs what they need.
package interop
