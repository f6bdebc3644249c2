package apns_test

import (
	"fmt"
	"iter"
	"testing"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/sim"
)

func lean(c *sim.Config) { c.Lean = true }

func BenchmarkPush(b *testing.B) {
	server := apnstest.Start(b, lean)
	client := newClient(b, server, nil)
	n := note(server)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Push(b.Context(), n); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPushAll(b *testing.B) {
	server := apnstest.Start(b, lean)
	client := newClient(b, server, nil)
	notes := make([]apns.Notification, 1024)
	for i := range notes {
		notes[i] = *note(server)
		notes[i].DeviceToken = fmt.Sprintf("%064x", i)
	}
	var input iter.Seq[*apns.Notification] = func(yield func(*apns.Notification) bool) {
		for i := range b.N {
			if !yield(&notes[i%len(notes)]) {
				return
			}
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for r := range client.PushAll(b.Context(), input) {
		if r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}
