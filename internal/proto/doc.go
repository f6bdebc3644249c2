// Package proto holds Apple's names and numbers: hosts, header names, push
// types, limits and reasons, each with its source. It contains no logic beyond
// looking a row up, so that the client and the simulator can share a
// vocabulary without sharing behaviour.
//
// Sources are named by page title as Apple prints it; the pages live below
// https://developer.apple.com/documentation/usernotifications/ and are
//
//   - "Sending notification requests to APNs" (requests, headers)
//   - "Handling notification responses from APNs" (statuses, reasons)
//   - "Establishing a token-based connection to APNs" (provider tokens)
//   - "Establishing a certificate-based connection to APNs" (certificates)
//   - "Sending broadcast push notification requests to APNs" and "Sending
//     channel management requests to APNs" (channels)
//
// "Observed" marks what Apple does not document but senders report.
package proto
