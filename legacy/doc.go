// Package legacy speaks the binary protocol, with which providers reached APNs
// from 2009 until Apple switched it off on 31 March 2021.
package legacy
