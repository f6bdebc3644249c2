// Package payload builds, checks and shortens the JSON bodies of push
// notifications, so that their size and their rules are known before anything
// is sent.
//
// # Building
//
// There is one plain struct for each kind of push whose rules differ: [Alert],
// [Website], [Background], [Complication], [Location], [VoIP], [PushToTalk],
// [FileProvider], [MDM], [Widgets], [Controls], [LiveActivityStart],
// [LiveActivityUpdate], [LiveActivityEnd] and [WalletUpdate]. What a kind of
// push cannot carry has no field: a [Background] has no sound to get wrong, and
// a start cannot be broadcast. Contradictions that remain are refused by JSON
// with an [InvalidError] that lists every problem at once.
//
// Custom keys come from a struct or a map and stand beside "aps". JSON made
// elsewhere is welcome as [Raw]; its bytes are sent as they came.
//
// # Checking
//
// [Lint] and [Linter] read any bytes and report what Apple rejects, what Apple
// accepts and then drops without a word, and what looks like a mistake, each
// with the fix.
//
// # Shortening
//
// [Shorten] and [Alert.Shorten] trim the body, then the subtitle, of an alert
// so that the whole JSON fits, and never cut a character a person would see as
// one, nor an escape.
//
// # Privacy
//
// Errors and findings name keys, sizes and rules. They never repeat texts or
// other values, so they can be logged.
//
// # Sources
//
// Apple's pages are named by title. "Generating a remote notification" and
// "Sending notification requests to APNs" live below
// https://developer.apple.com/documentation/usernotifications/, "Starting and
// updating Live Activities with ActivityKit push notifications" below
// https://developer.apple.com/documentation/activitykit/. "Observed" marks what
// Apple does not document but senders report.
//
// All values are safe to use from several goroutines as long as none of them
// changes the value; nothing in this package starts a goroutine.
package payload
