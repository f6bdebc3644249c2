package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"aviso.example/wallet/webservice"
)

// Run proves the stores that open returns. Each call has to return an empty one;
// whatever has to be closed, open leaves to t.Cleanup.
func Run(t *testing.T, open func(t testing.TB) webservice.Store) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, *rig)
	}{
		{"Registering", testRegistering},
		{"Unregistering", testUnregistering},
		{"WhatChanged", testWhatChanged},
		{"TagsFromElsewhere", testTagsFromElsewhere},
		{"ANewRegistrationIsListed", testNewRegistration},
		{"TimesAreDistinct", testTimes},
		{"OnePushForManyChanges", testCoalescing},
		{"Claims", testClaims},
		{"ClockGoesBack", testClockGoesBack},
		{"Settling", testSettling},
		{"ChangedWhileUnderWay", testChangedWhileUnderWay},
		{"DeviceTokenChanges", testDeviceTokenChanges},
		{"GoneDevices", testGone},
		{"OddTexts", testOddTexts},
		{"ContextHasEnded", testContext},
		{"ManyDevices", testManyDevices},
		{"ManyWriters", testManyWriters},
		{"ManyClaimers", testManyClaimers},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, &rig{t, open(t)}) })
	}
	t.Run("Model", func(t *testing.T) { model(t, open) })
}

// Names that the tests use.
const (
	passes, coupons = "pass.com.example.card", "pass.com.example.coupon"
	phone, watch    = "3f1a64a5a1dc4d7f8f5ac2a2d9f34fd1", "b1c2"
	tokenA, tokenB  = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0", "a0b1c2d3"
)

// begin is a time with milliseconds, which no store may stumble over.
var begin = time.Date(2026, 11, 24, 9, 41, 0, 250_000_000, time.UTC)

// rig makes a step of a test a line.
type rig struct {
	*testing.T
	store webservice.Store
}

func card(serial string) webservice.ID { return webservice.ID{Type: passes, Serial: serial} }

func (r *rig) register(device, deviceToken string, id webservice.ID, at time.Time) (created bool) {
	r.Helper()
	created, err := r.store.Register(r.Context(), webservice.Registration{ID: id, Device: device, DeviceToken: deviceToken, Time: at})
	if err != nil {
		r.Fatal(err)
	}
	return created
}

func (r *rig) unregister(device string, id webservice.ID) {
	r.Helper()
	if err := r.store.Unregister(r.Context(), device, id); err != nil {
		r.Fatal(err)
	}
}

// list expects these serials and returns the tag.
func (r *rig) list(device, typ string, since int64, want ...string) int64 {
	r.Helper()
	u, err := r.store.Updated(r.Context(), device, typ, since)
	if err != nil {
		r.Fatal(err)
	}
	if !slices.Equal(u.Serials, want) {
		r.Fatalf("since %d: %q, want %q", since, u.Serials, want)
	}
	if len(want) > 0 && since < 1<<30 && u.Sequence <= since {
		r.Fatalf("the tag %d does not rise above %d", u.Sequence, since)
	}
	return u.Sequence
}

func (r *rig) change(typ string, now time.Time, serials ...string) webservice.Change {
	r.Helper()
	c, err := r.store.Change(r.Context(), typ, serials, now)
	if err != nil {
		r.Fatal(err)
	}
	return c
}

func (r *rig) modified(id webservice.ID) time.Time {
	r.Helper()
	at, err := r.store.Modified(r.Context(), id)
	if err != nil {
		r.Fatal(err)
	}
	return at
}

// claim expects pushes to these devices, in this order, and leases them for a minute.
func (r *rig) claim(typ string, limit int, now time.Time, want ...string) []webservice.Push {
	r.Helper()
	claimed := r.claimed(typ, limit, now)
	if devices := devicesOf(claimed); !slices.Equal(devices, want) {
		r.Fatalf("claimed %q, want %q", devices, want)
	}
	return claimed
}

// claimAll is claim for pushes that are due at the same time, whose order is free.
// want is sorted.
func (r *rig) claimAll(typ string, now time.Time, want ...string) []webservice.Push {
	r.Helper()
	claimed := r.claimed(typ, 9, now)
	if devices := devicesOf(claimed); !slices.Equal(slices.Sorted(slices.Values(devices)), want) {
		r.Fatalf("claimed %q, want %q", devices, want)
	}
	return claimed
}

func devicesOf(pushes []webservice.Push) (devices []string) {
	for _, p := range pushes {
		devices = append(devices, p.Device)
	}
	return devices
}

func (r *rig) claimed(typ string, limit int, now time.Time) []webservice.Push {
	r.Helper()
	claimed, err := r.store.Claim(r.Context(), typ, limit, now, now.Add(time.Minute))
	if err != nil {
		r.Fatal(err)
	}
	for _, p := range claimed {
		if p.Type != typ || p.DeviceToken == "" || p.Registered.IsZero() || p.Sequence <= 0 {
			r.Errorf("incomplete: %+v", p)
		}
	}
	return claimed
}

func (r *rig) settle(p webservice.Push, v webservice.Verdict, at time.Time) (removed int) {
	r.Helper()
	removed, err := r.store.Settle(r.Context(), []webservice.Settlement{{Push: p, Verdict: v, Time: at}})
	if err != nil {
		r.Fatal(err)
	}
	return removed
}

func testRegistering(t *testing.T, r *rig) {
	if !r.register(phone, tokenA, card("1"), begin) {
		t.Error("the first registration was known")
	}
	if r.register(phone, tokenA, card("1"), begin.Add(time.Second)) {
		t.Error("a repeated registration was new")
	}
	if r.register(phone, tokenB, card("1"), begin.Add(time.Minute)) {
		t.Error("one with another device token was new")
	}
	if !r.register(phone, tokenB, card("2"), begin) || !r.register(watch, tokenA, card("1"), begin) ||
		!r.register(phone, tokenB, webservice.ID{Type: coupons, Serial: "1"}, begin) {
		t.Error("another pass, device or type was known")
	}
	r.list(phone, passes, 0, "1", "2")
	r.list(phone, coupons, 0, "1")
	r.list(watch, passes, 0, "1")
}

func testUnregistering(t *testing.T, r *rig) {
	r.unregister(phone, card("1")) // never there
	r.register(phone, tokenA, card("1"), begin)
	r.register(phone, tokenA, card("2"), begin)
	r.register(watch, tokenB, card("1"), begin)
	r.change(passes, begin, "1", "2")
	r.unregister(phone, card("1"))
	r.unregister(phone, card("1")) // twice
	r.unregister(phone, webservice.ID{Type: coupons, Serial: "2"})
	r.list(phone, passes, 0, "2")
	r.list(watch, passes, 0, "1")
	r.claimAll(passes, begin.Add(time.Second), phone, watch)

	// The last pass takes what is to be pushed with it, and the device.
	r.unregister(phone, card("2"))
	r.list(phone, passes, 0)
	r.claim(passes, 9, begin.Add(time.Hour), watch)
	if c := r.change(passes, begin, "2"); c.Known != 1 || c.Queued != 0 {
		t.Errorf("%+v", c)
	}
	if !r.register(phone, tokenA, card("2"), begin) {
		t.Error("the registration was still there")
	}
}

func testWhatChanged(t *testing.T, r *rig) {
	for _, serial := range []string{"1", "2", "3"} {
		r.register(phone, tokenA, card(serial), begin)
	}
	tag := r.list(phone, passes, 0, "1", "2", "3")
	r.list(phone, passes, tag)
	r.list(watch, passes, 0) // never registered
	r.list(phone, coupons, 0)

	if c := r.change(passes, begin, "2", "unknown", "2"); c.Known != 1 || c.Queued != 1 {
		t.Errorf("%+v", c)
	}
	second := r.list(phone, passes, tag, "2")
	r.change(passes, begin, "1")
	r.change(coupons, begin, "3") // of another type
	r.list(phone, passes, second, "1")
	r.list(phone, passes, tag, "2", "1")
	r.change(passes, begin, "2")
	third := r.list(phone, passes, tag, "1", "2") // once, and now the latest
	r.list(phone, passes, third)
	r.change(passes, begin) // nothing
	r.list(phone, passes, third)
}

func testTagsFromElsewhere(t *testing.T, r *rig) {
	r.register(phone, tokenA, card("1"), begin)
	for _, since := range []int64{1_760_000_000, 1<<63 - 1} { // a time, from another server
		if tag := r.list(phone, passes, since, "1"); tag >= since {
			t.Errorf("tag %d", tag)
		}
	}
}

// A pass may have changed between its download and the registration, when there was
// nobody to tell, and the device may have been given a later tag since.
func testNewRegistration(t *testing.T, r *rig) {
	r.register(watch, tokenB, card("late"), begin)
	r.register(phone, tokenA, card("1"), begin)
	r.change(passes, begin, "late")
	r.change(passes, begin, "1")
	tag := r.list(phone, passes, 0, "1")
	r.register(phone, tokenA, card("late"), begin)
	tag = r.list(phone, passes, tag, "late")
	r.register(phone, tokenA, card("late"), begin) // a repetition is none
	r.list(phone, passes, tag)
}

func testTimes(t *testing.T, r *rig) {
	if at := r.modified(card("1")); !at.IsZero() {
		t.Errorf("unknown: %v", at)
	}
	r.change(passes, begin, "1")
	if at := r.modified(card("1")); !at.IsZero() {
		t.Errorf("unknown, though changed: %v", at)
	}
	second := begin.Truncate(time.Second)
	r.register(phone, tokenA, card("1"), begin)
	for i, step := range []struct {
		now, want time.Time
	}{
		{begin.Add(100 * time.Millisecond), second.Add(time.Second)},
		{begin.Add(200 * time.Millisecond), second.Add(2 * time.Second)},
		{begin.Add(-time.Hour), second.Add(3 * time.Second)},
		{begin.Add(time.Minute), second.Add(time.Minute)},
	} {
		r.change(passes, step.now, "1")
		if at := r.modified(card("1")); !at.Equal(step.want) {
			t.Errorf("change %d: %v, want %v", i+1, at, step.want)
		}
	}
	before := r.modified(card("1"))
	r.unregister(phone, card("1"))
	r.register(watch, tokenB, card("1"), begin)
	if at := r.modified(card("1")); !at.Equal(before) {
		t.Errorf("without registrations for a while: %v, want %v", at, before)
	}
}

func testOddTexts(t *testing.T, r *rig) {
	for i, text := range []string{"'; DROP TABLE devices; --", `"`, "%_*?", "Jürg 😀", "a/b", strings.Repeat("x", 1024), "A", "a", " a "} {
		device, id := fmt.Sprintf("%s %d", text, i), webservice.ID{Type: text, Serial: text}
		r.register(device, tokenA, id, begin)
		if c := r.change(text, begin, text); c.Queued != 1 {
			t.Errorf("%q: %+v", text, c)
		}
		r.list(device, text, 0, text)
		r.claim(text, 9, begin, device)
	}
}

func testContext(t *testing.T, r *rig) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the device has gone")
	cancel(cause)
	_, err := r.store.Register(ctx, webservice.Registration{ID: card("1"), Device: phone, DeviceToken: tokenA, Time: begin})
	if err == nil {
		t.Error("it registered")
	}
	if _, err := r.store.Change(ctx, passes, []string{"1"}, begin); err == nil {
		t.Error("it changed")
	}
	r.list(phone, passes, 0)
	if at := r.modified(card("1")); !at.IsZero() {
		t.Error("the pass is known")
	}
}
