// Package safari makes, reads and serves push packages, with which websites
// asked Safari on the Mac for permission to send notifications through APNs.
//
// Safari 26.4 dropped them, and Apple recommends them for Safari 15 and older
// only. For anything new use Web Push, which is package webpush: standard, for
// all browsers, and without an Apple account. This package is for sites that
// still have users of the old kind.
//
// A push package is a zip with website.json, six icons, a manifest of hashes and
// a signature made with the site's Website Push ID certificate. A [Builder] makes
// one for each user from parts prepared once; [Verify] checks one that anybody
// made; a [Service] answers the calls that Safari makes: download, register,
// unregister and log.
//
// Package payload has the notifications ([aviso.example/payload.Website]);
// [CheckURLArgs] says whether one fits the site's urlFormatString, without which
// Safari shows nothing.
//
// The source of the rules is Apple's archived "Configuring Safari Push
// Notifications" (Notification Programming Guide for Websites).
package safari
