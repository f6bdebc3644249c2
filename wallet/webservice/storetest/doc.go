// Package storetest proves implementations of webservice.Store. A test of one is a
// line:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t testing.TB) webservice.Store { return openYours(t) })
//	}
//
// Run checks what the comments of webservice.Store say, one by one, and then plays
// random stories on the store and on [Memory], which have to agree in every answer.
//
// The package is for tests only.
package storetest
