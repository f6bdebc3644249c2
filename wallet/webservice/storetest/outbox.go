package storetest

import (
	"fmt"
	"testing"
	"time"

	"aviso.example/wallet/webservice"
)

func testCoalescing(t *testing.T, r *rig) {
	for _, serial := range []string{"1", "2", "3"} {
		r.register(phone, tokenA, card(serial), begin)
	}
	r.register(watch, tokenB, card("1"), begin)
	r.register(phone, tokenA, webservice.ID{Type: coupons, Serial: "1"}, begin)
	r.change(passes, begin, "1", "2")
	r.change(passes, begin.Add(time.Second), "3", "1")
	r.change(coupons, begin, "1")
	now := begin.Add(time.Minute)
	r.claimAll(passes, now, phone, watch)
	r.claim(coupons, 9, now, phone) // another topic, so another push
	r.claim(passes, 9, now)
	r.claim(coupons, 9, now)
}

func testClaims(t *testing.T, r *rig) {
	r.claim(passes, 9, begin)
	for i, device := range []string{"d3", "d1", "d2"} {
		r.register(device, tokenA, card(device), begin)
		r.change(passes, begin.Add(time.Duration(i)*time.Second), device)
	}
	r.claim(passes, 9, begin.Add(-time.Second)) // not due
	r.claim(passes, 9, begin, "d3")
	now := begin.Add(5 * time.Second)
	r.claim(passes, 1, now, "d1") // the longest due first
	r.claim(passes, 9, now, "d2")
	r.claim(passes, 9, now)

	// What is not settled comes again when the lease is over.
	r.claim(passes, 9, begin.Add(time.Minute-time.Second))
	again := r.claim(passes, 9, begin.Add(time.Minute), "d3")
	if again[0].Attempts != 0 {
		t.Errorf("a lease that ran out counts as an attempt: %+v", again[0])
	}
}

func testClockGoesBack(t *testing.T, r *rig) {
	r.register(phone, tokenA, card("1"), begin)
	r.change(passes, begin, "1")
	r.claim(passes, 9, begin, phone)
	r.claim(passes, 9, begin.Add(2*time.Minute-webservice.MaxDue)) // due within a day
	r.claim(passes, 9, begin.Add(-webservice.MaxDue), phone)       // the clock was wrong
}

func testSettling(t *testing.T, r *rig) {
	r.register(phone, tokenA, card("1"), begin)
	r.change(passes, begin, "1")
	p := r.claim(passes, 9, begin, phone)[0]
	if p.DeviceToken != tokenA || !p.Registered.Equal(begin) || p.Attempts != 0 {
		t.Errorf("%+v", p)
	}

	r.settle(p, webservice.Later, begin.Add(time.Hour))
	r.claim(passes, 9, begin.Add(time.Hour-time.Millisecond))
	p = r.claim(passes, 9, begin.Add(time.Hour), phone)[0]
	if p.Attempts != 1 {
		t.Errorf("%+v", p)
	}
	r.settle(p, webservice.Returned, time.Time{})
	p = r.claim(passes, 9, begin, phone)[0] // at once
	if p.Attempts != 1 {
		t.Errorf("%+v", p)
	}
	r.settle(p, webservice.Told, time.Time{})
	r.claim(passes, 9, begin.Add(48*time.Hour))
	r.list(phone, passes, 0, "1") // told is not fetched
	for _, v := range []webservice.Verdict{webservice.Told, webservice.Later, webservice.Returned} {
		r.settle(p, v, begin) // a second time, of no effect
	}
	r.claim(passes, 9, begin.Add(48*time.Hour))
	if n, err := r.store.Settle(t.Context(), nil); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
}

func testChangedWhileUnderWay(t *testing.T, r *rig) {
	r.register(phone, tokenA, card("1"), begin)
	for _, v := range []webservice.Verdict{webservice.Told, webservice.Later, webservice.Returned} {
		r.change(passes, begin, "1")
		p := r.claim(passes, 9, begin, phone)[0]
		now := begin.Add(time.Second)
		r.change(passes, now, "1")
		r.settle(p, v, begin.Add(time.Hour))
		// The push that is under way may have been accepted before the change.
		again := r.claim(passes, 9, now, phone)[0]
		if again.Sequence <= p.Sequence || again.Attempts != 0 {
			t.Errorf("%+v after %+v", again, p)
		}
		r.settle(again, webservice.Told, time.Time{})
	}
	// One that waits for another attempt is due at once, and waits no longer for it.
	r.change(passes, begin, "1")
	p := r.claim(passes, 9, begin, phone)[0]
	r.settle(p, webservice.Later, begin.Add(time.Hour))
	r.change(passes, begin.Add(time.Second), "1")
	if p = r.claim(passes, 9, begin.Add(time.Second), phone)[0]; p.Attempts != 0 {
		t.Errorf("%+v", p)
	}
}

func testDeviceTokenChanges(t *testing.T, r *rig) {
	r.register(phone, tokenA, card("1"), begin)
	r.change(passes, begin, "1")
	p := r.claim(passes, 9, begin, phone)[0]
	now := begin.Add(time.Second)
	r.register(phone, tokenB, card("1"), now)
	r.settle(p, webservice.Told, time.Time{}) // to the old one
	again := r.claim(passes, 9, now, phone)[0]
	if again.DeviceToken != tokenB || !again.Registered.Equal(now) {
		t.Errorf("%+v", again)
	}
	// The same one again changes the time only.
	r.register(phone, tokenB, card("1"), now.Add(time.Second))
	r.claim(passes, 9, now.Add(time.Second))
	r.settle(again, webservice.Told, time.Time{})
	r.claim(passes, 9, now.Add(time.Hour))
}

func testGone(t *testing.T, r *rig) {
	r.register(phone, tokenA, card("1"), begin)
	r.register(phone, tokenA, webservice.ID{Type: coupons, Serial: "1"}, begin)
	r.register(watch, tokenB, card("1"), begin)
	r.change(passes, begin, "1")
	claimed := map[string]webservice.Push{}
	for _, p := range r.claimAll(passes, begin, phone, watch) {
		claimed[p.Device] = p
	}
	// It registered again at the same time or later: it stays, and is due.
	if n := r.settle(claimed[phone], webservice.Gone, begin); n != 0 {
		t.Error("a device was removed that was registered when APNs saw it last")
	}
	p := r.claim(passes, 9, begin, phone)[0]
	r.register(phone, tokenA, card("1"), begin.Add(2*time.Second))
	if n := r.settle(p, webservice.Gone, begin.Add(time.Second)); n != 0 {
		t.Error("a device was removed that has registered again")
	}
	p = r.claim(passes, 9, begin, phone)[0]
	r.register(phone, "c0ffee", card("1"), begin.Add(2*time.Second))
	if n := r.settle(p, webservice.Gone, begin.Add(time.Hour)); n != 0 {
		t.Error("a device was removed for a device token that it had before")
	}
	now := begin.Add(3 * time.Second)
	p = r.claim(passes, 9, now, phone)[0]
	r.change(passes, now, "1") // does not save it
	if n := r.settle(p, webservice.Gone, now); n != 1 {
		t.Errorf("%d devices were removed", n)
	}
	r.list(phone, passes, 0)
	r.list(phone, coupons, 0)
	r.list(watch, passes, 0, "1")
	r.claim(passes, 9, now, watch)
	if c := r.change(coupons, now, "1"); c.Known != 1 || c.Queued != 0 {
		t.Errorf("%+v", c)
	}
	if n := r.settle(p, webservice.Gone, now); n != 0 {
		t.Error("it was removed twice")
	}
}

func testManyDevices(t *testing.T, r *rig) {
	const devices = 250
	for i := range devices {
		r.register(fmt.Sprint(i), tokenA, card("shared"), begin)
	}
	if c := r.change(passes, begin, "shared"); c.Known != 1 || c.Queued != devices {
		t.Fatalf("%+v", c)
	}
	seen := map[string]bool{}
	for page := 0; ; page++ {
		claimed, err := r.store.Claim(t.Context(), passes, 100, begin, begin.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if len(claimed) == 0 {
			break
		}
		if len(claimed) > 100 || page > 3 {
			t.Fatalf("%d on page %d", len(claimed), page)
		}
		var settlements []webservice.Settlement
		for _, p := range claimed {
			if seen[p.Device] {
				t.Fatalf("%s twice", p.Device)
			}
			seen[p.Device] = true
			settlements = append(settlements, webservice.Settlement{Push: p, Verdict: webservice.Told})
		}
		if _, err := r.store.Settle(t.Context(), settlements); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != devices {
		t.Errorf("%d devices were told", len(seen))
	}
	r.claim(passes, 9, begin.Add(time.Hour))
}
