// Package service holds what Apple's web services have in common, those that
// devices call at a server of ours: for Wallet passes, for Wallet orders and for
// Safari's push packages. It reads the Authorization field and compares
// authentication tokens, reads paths and small JSON bodies, answers with problems
// that say what is wrong, and takes in what devices report to the log endpoint.
//
// Devices look at the status only. The bodies of refusals are for the person who
// builds the service and calls it with curl.
//
// Nothing of a request is logged as it came: paths, bodies and reports name
// devices and people.
package service
