// Package passview draws a Wallet pass as a picture (PNG) or a page (HTML), close
// enough to Wallet's own to recognise it: front and back side by side, in the
// pass's colours, with its images, fields and barcode.
//
// It exists to show a pass before it is on a phone, so it draws what it can of a
// pass that has mistakes, and leaves finding them to package wallet. It reads
// pass.json by itself for the same reason: a number where a string belongs is a
// mistake there and nothing here. What is drawn otherwise than Wallet would is
// said in [View.Notes].
//
// Passes come from anywhere. Images are looked at before they are decoded, text
// and colours are escaped or parsed, links keep only schemes that open a page, a
// call or a mail, and the page holds no script and loads nothing.
package passview
