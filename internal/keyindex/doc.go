// Package keyindex answers which records of a log hold a key. The log is
// somebody else's: a row of records with rising sequence numbers, each about
// many keys, which are 64-bit hashes. The index is made from the log and can be
// made again, so losing some of it only costs a replay; what it must never do is
// claim to cover records that it lost.
//
// # The journey of a key
//
//	Add ──► tail, in memory ──seal──► segment ──merge──► larger segment ──► DropBefore
//	             │                       │                     │
//	Lookup ◄─────┴───────────────────────┴─────────────────────┘   newest first
//
// Add puts keys into the tail, a hash table over a list in order of sequence. A
// full tail is set aside and sealed in the background: sorted by key and written
// as a segment, a file that is never changed. Eight neighbouring segments of
// similar size are merged into one, three times at most, so that a hundred million
// entries lie in a dozen files or so. Lookup goes from the newest to the oldest; in
// each segment it finds the block in a small table and reads that block only.
//
// # What survives a crash
//
// A segment says which sequences it covers: from where the one before it ended,
// through the last one added. It gets its name only once all of it is on the disk,
// and then Durable rises. Open follows one rule: a segment is kept if it is sound
// and begins where the one kept before it ended; every other file of the index is
// removed. That covers what a crash leaves behind (half a segment, and segments
// whose merged successor is there already) as well as damage (a segment that
// cannot be trusted, and with it all that come after it, since they would leave a
// gap). The log is then read again from Durable on.
//
// Checksums are verified where bytes are used: those of a segment's header and
// table of blocks by Open, so that it reads a five hundredth of the files, and that
// of a block by whoever reads the block. A damaged block makes Lookup fail with
// ErrDamaged rather than answer wrongly, and marks the segment, so that the next
// Open removes it.
//
// The package is made for Unix, where a removed file stays readable to those who
// have it open.
package keyindex
