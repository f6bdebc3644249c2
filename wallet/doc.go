// Package wallet makes, checks, signs, reads and verifies Apple Wallet passes
// (.pkpass), bundles of passes (.pkpasses) and orders (.order).
//
// [Pass] and [Order] are the files pass.json and order.json as Go structs. They
// lose nothing: what a struct has no field for is kept in its Extra, and written
// again. A [Signer] holds a certificate and its key, a [Template] the images and
// translations that many passes share; [Template.Sign] makes one pass of a Pass.
// A folder that somebody else filled is read by [ReadFolder] and signed by
// [Files.Sign], its pass.json byte for byte. [Open] and [Package.Verify] judge
// packages that nobody here made.
//
// Everything that is wrong with a pass is reported at once, as [Problems] with the
// path of the key, such as eventTicket.primaryFields[0].value. A problem is an
// error if Wallet refuses the pass for it, and a warning if Wallet drops or
// squeezes something. What has errors is not signed. Problems repeat keys, names
// of files, identifiers and numbers, and no texts of the pass.
//
// Rules come from Apple's documentation of Wallet Passes and Wallet Orders, from
// the archived "Wallet Developer Guide", and from Apple's pass-builder. Where
// these disagree, the comments say so.
package wallet
