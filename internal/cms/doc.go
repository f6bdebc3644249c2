// Package cms makes and checks detached CMS signatures (RFC 5652), as Wallet
// passes, Wallet orders and Safari push packages carry them: SignedData over the
// bytes of manifest.json, with the signing certificate and the intermediate that
// issued it, the signing time, and one signer.
//
// A [Signer] is made once for a certificate and signs as often and from as many
// goroutines as one likes. [Verify] reads what other people's programs made,
// which is where BER, SHA-1 and missing attributes come from, and treats it as
// hostile: it bounds size, depth and counts, and parses everything itself.
//
// Signatures are made with github.com/smallstep/pkcs7 and read with code of our
// own, so that neither proves itself. That library's reader would not do: it
// recurses as deep as the input says, ignores that SignedData could not be
// parsed, and sorts signed attributes before it hashes them, which refuses the
// signatures of node-forge that Wallet accepts.
package cms
