package engine

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
)

// Whole campaigns come back in a few writes, which the log has before the verdicts.
func TestManyRevived(t *testing.T) { virtually(t, testManyRevived) }

func testManyRevived(t *testing.T) {
	const n = 5000
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	died := time.Now().Add(-time.Hour)
	var list []deadToken
	targets := devices(0, n)
	for i := range targets {
		parsed, _ := parseTarget(&targets[i])
		list = append(list, deadToken{parsed.token, died})
		targets[i].RegisteredAt = died.Add(time.Minute)
	}
	if err := r.dead.write(t.Context(), "shop", apns.Sandbox, 0, list); err != nil {
		t.Fatal(err)
	}
	if s := r.wait(r.submit(hello(), targets...).Message); s.States[Accepted] != n {
		t.Errorf("%+v", s)
	}
	info, err := r.dead.stream.Info(t.Context())
	if err != nil || r.dead.size() != 0 {
		t.Fatal(r.dead.size(), err)
	}
	// One is of the dead. How many are handed over at a time is the route's business: a
	// chunk of 1,024 is a few writes, and not one for each.
	if writes := info.State.Msgs - 1; writes < n/maxRevived || writes > 8*(n/maxChunk+1) {
		t.Errorf("%d writes for %d device tokens", writes, n)
	}
	r.close()
	r.open()
	if n := r.dead.size(); n != 0 {
		t.Errorf("after a restart %d are dead again", n)
	}
}

// In whatever order an engine hears of deaths and registrations, its own among
// them twice, it comes to the same: dead is what died since it was registered.
func TestDeadOrRevivedInAnyOrder(t *testing.T) {
	token := []byte{1, 2, 3}
	at := func(second int64, flags byte) []byte {
		return appendDead("shop", apns.Sandbox, flags, []deadToken{{token, time.Unix(second, 0)}})
	}
	stories := []struct {
		log  [][]byte
		dead int64
	}{
		{[][]byte{at(100, 0), at(150, deadRevived)}, 0},
		{[][]byte{at(100, 0), at(150, deadRevived), at(100, 0)}, 0},   // an answer that was under way
		{[][]byte{at(100, 0), at(150, deadRevived), at(120, 0)}, 0},   // or came later, about the time before
		{[][]byte{at(100, 0), at(150, deadRevived), at(200, 0)}, 200}, // it died again
		{[][]byte{at(100, 0), at(150, deadRevived), at(150, 0)}, 150}, // in the same second
		{[][]byte{at(100, 0), at(150, deadRevived), at(200, 0), at(250, deadRevived)}, 0},
		{[][]byte{at(100, 0), at(200, deadDoubtful)}, 100},
	}
	for i, story := range stories {
		permute(story.log, func(log [][]byte) {
			d := &deadTokens{table: map[uint64]uint32{}, revived: map[uint64]uint32{}}
			for _, data := range log {
				d.takeIn(data)
				d.takeIn(data)
			}
			want := time.Time{}
			if story.dead != 0 {
				want = time.Unix(story.dead, 0).UTC()
			}
			if got := d.since("shop", apns.Sandbox, token); !got.Equal(want) {
				t.Errorf("story %d in the order %x: dead since %v, want %v", i, log, got, want)
			}
		})
	}
}

// permute calls each with every order of a list.
func permute[T any](list []T, each func([]T)) {
	var at func(k int)
	at = func(k int) {
		if k == len(list) {
			each(list)
			return
		}
		for i := k; i < len(list); i++ {
			list[k], list[i] = list[i], list[k]
			at(k + 1)
			list[k], list[i] = list[i], list[k]
		}
	}
	at(0)
}

// A registration in the far future, a slip of the sender's, revives once and not
// for ever.
func TestRegisteredInTheFuture(t *testing.T) { virtually(t, testRegisteredInTheFuture) }

func testRegisteredInTheFuture(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	parsed, _ := parseTarget(&Target{DeviceToken: device(1)})
	dies := func(at time.Time) {
		t.Helper()
		if err := r.dead.write(t.Context(), "shop", apns.Sandbox, 0, []deadToken{{parsed.token, at}}); err != nil {
			t.Fatal(err)
		}
	}
	dies(time.Now().Add(-time.Hour))
	if d := r.only(r.submit(hello(), Target{DeviceToken: device(1), RegisteredAt: time.Now().AddDate(70, 0, 0)})); d.State != Accepted {
		t.Errorf("%+v", d)
	}
	time.Sleep(2 * time.Second)
	dies(time.Now())
	if d := r.only(r.submit(hello(), Target{DeviceToken: device(1)})); !d.Suppressed {
		t.Errorf("%+v", d)
	}
}

// A page of the feed asks the log for as many messages as it may give, however
// many of other apps lie between, and none that cannot be read stops it.
func TestDeadTokensPages(t *testing.T) { virtually(t, testDeadTokensPages) }

func testDeadTokensPages(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple, func(cfg *Config) { cfg.Logger = slog.New(slog.DiscardHandler) })
	put := func(app string, token byte) {
		t.Helper()
		if err := r.dead.write(t.Context(), app, apns.Sandbox, 0, []deadToken{{[]byte{token}, time.Now()}}); err != nil {
			t.Fatal(err)
		}
	}
	put("shop", 1)
	for range 500 {
		put("other", 0)
	}
	if _, err := r.store.put(t.Context(), subjectDead+"shop", []byte("damaged")); err != nil {
		t.Fatal(err)
	}
	put("shop", 2)
	put("shop", 3)
	asked := r.store.conn.Stats().OutMsgs
	var got []string
	pages, after := 0, uint64(0)
	for {
		list, next, err := r.DeadTokens(t.Context(), "shop", after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if next == after {
			break
		}
		for _, d := range list {
			got = append(got, d.DeviceToken)
		}
		pages, after = pages+1, next
	}
	if !slices.Equal(got, []string{"01", "02", "03"}) || pages != 2 {
		t.Errorf("%v on %d pages", got, pages)
	}
	for _, app := range []string{"*", ">", "sh op", "none"} {
		if list, next, err := r.DeadTokens(t.Context(), app, 0, 2); len(list) > 0 || next != 0 || err != nil {
			t.Errorf("app %q: %v, %d, %v", app, list, next, err)
		}
		if list, err := r.DeadLetters(t.Context(), app, "", 0, 2); len(list) > 0 || err != nil {
			t.Errorf("app %q: %v, %v", app, list, err)
		}
	}
	// Those who follow the log ask for something now and then, too.
	if asked = r.store.conn.Stats().OutMsgs - asked; asked > 50 {
		t.Errorf("the log was asked %d times", asked)
	}
}
