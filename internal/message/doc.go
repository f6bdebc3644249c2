// Package message reads a notification in the user's words, the keys of a JSON
// object or the flags of a command, and makes an apns.Notification of it. Its
// errors speak the user's words too.
//
// A Parser reads objects into a Message on top of defaults; a Message says what
// contradicts itself, makes its payload and fills a notification. The objects
// are walked over by a Scan, which builds nothing, since they come by the
// million.
package message
