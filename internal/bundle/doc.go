// Package bundle reads and writes what Wallet passes, Wallet orders and Safari
// push packages have in common: files, a manifest of their hashes, a signature
// over the manifest, and a zip around all of it.
//
// A [Template] holds the files that many packages share, hashed and compressed
// once; [Template.Pack] adds those that differ, has the manifest signed and
// writes the zip. The same files, time and signature give the same bytes.
//
// [ReadZip] and [ReadFolder] read packages that nobody here made, within
// [Limits], and report every problem at once. What they give back is in memory:
// packages are small.
//
// The writer uses archive/zip. The reader is our own, since a reader of hostile
// archives must see what archive/zip does not tell: entries that overlap, bytes
// between them, and local headers that say something else than the directory.
// Each is tested with the other.
package bundle
