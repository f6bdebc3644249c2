// Package archtest holds the rules that the repository keeps about itself, as
// tests: which package may import which and why (arrows_test.go), and how
// files, comments and skipped tests have to look (house_test.go). It has no
// code of its own.
package archtest
