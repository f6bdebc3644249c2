// Package engine delivers notifications durably: what it has accepted is on disk
// and ends with a verdict, whatever happens to the process, the machine or APNs.
//
// It keeps everything on a log, NATS JetStream: embedded in the process and
// written to one folder, or on a cluster that several engines share. What is
// handed in is packed into chunks; a chunk is one synced write, and Submit
// returns when it is done. Chunks are leased from the log, their notifications
// sent with package apns, and what became of each is recorded in verdicts, again
// with a synced write, before the chunk leaves the queue. After a crash only
// notifications without a recorded verdict are sent again: at most
// Config.Window of each lane of each app.
//
// All exported methods are safe for concurrent use.
package engine
