package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"aviso.example/wallet/webservice"
)

// model plays random stories on a store and on Memory. The stories share the store,
// as opening one takes a while, and have devices and types of their own in it; so
// numbers of the sequence differ, and tags and claims are kept in pairs.
func model(t *testing.T, open func(t testing.TB) webservice.Store) {
	store, stories := open(t), 0
	rapid.Check(t, func(rt *rapid.T) {
		stories++
		s := &story{store: store, now: begin, prefix: fmt.Sprint("story", stories, "."), tags: map[string][2]int64{}}
		rt.Repeat(map[string]func(*rapid.T){
			"register":   s.register,
			"unregister": s.unregister,
			"change":     s.change,
			"list":       s.list,
			"modified":   s.modified,
			"claim":      s.claim,
			"settle":     s.settle,
			"time": func(rt *rapid.T) {
				s.now = s.now.Add(time.Duration(rapid.IntRange(-5_000, 90_000).Draw(rt, "ms")) * time.Millisecond)
			},
		})
	})
}

type story struct {
	prefix string
	store  webservice.Store
	memory Memory
	now    time.Time

	tags    map[string][2]int64 // of devices, by device and type
	claimed [][2]webservice.Push
}

func (s *story) draw(t *rapid.T) (device string, id webservice.ID) {
	device = s.prefix + rapid.SampledFrom([]string{"d1", "d2", "d3"}).Draw(t, "device")
	return device, webservice.ID{
		Type:   s.prefix + rapid.SampledFrom([]string{passes, coupons}).Draw(t, "type"),
		Serial: rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "serial"),
	}
}

// same fails the story unless both stores gave the same answer.
func same(t *rapid.T, what string, got any, err error, want any, wantErr error) {
	if err != nil || wantErr != nil {
		t.Fatalf("%s: %v, %v", what, err, wantErr)
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Fatalf("%s (- memory, + store):\n%s", what, d)
	}
}

func (s *story) register(t *rapid.T) {
	device, id := s.draw(t)
	r := webservice.Registration{ID: id, Device: device, Time: s.now}
	r.DeviceToken = rapid.SampledFrom([]string{tokenA, tokenB}).Draw(t, "device token")
	got, err := s.store.Register(t.Context(), r)
	want, wantErr := s.memory.Register(t.Context(), r)
	same(t, "register", got, err, want, wantErr)
}

func (s *story) unregister(t *rapid.T) {
	device, id := s.draw(t)
	same(t, "unregister", nil, s.store.Unregister(t.Context(), device, id), nil, s.memory.Unregister(t.Context(), device, id))
}

func (s *story) change(t *rapid.T) {
	_, id := s.draw(t)
	serials := rapid.SliceOfN(rapid.SampledFrom([]string{"1", "2", "3", "unknown"}), 0, 4).Draw(t, "serials")
	got, err := s.store.Change(t.Context(), id.Type, serials, s.now)
	want, wantErr := s.memory.Change(t.Context(), id.Type, serials, s.now)
	same(t, "change", got, err, want, wantErr)
}

func (s *story) list(t *rapid.T) {
	device, id := s.draw(t)
	key := device + " " + id.Type
	var tags [2]int64
	switch rapid.IntRange(0, 5).Draw(t, "tag") {
	case 0:
	case 1:
		tags = [2]int64{1 << 40, 1 << 40}
	default:
		tags = s.tags[key]
	}
	got, err := s.store.Updated(t.Context(), device, id.Type, tags[0])
	want, wantErr := s.memory.Updated(t.Context(), device, id.Type, tags[1])
	same(t, "what changed", got.Serials, err, want.Serials, wantErr)
	if len(got.Serials) > 0 {
		s.tags[key] = [2]int64{got.Sequence, want.Sequence}
	}
}

func (s *story) modified(t *rapid.T) {
	_, id := s.draw(t)
	got, err := s.store.Modified(t.Context(), id)
	want, wantErr := s.memory.Modified(t.Context(), id)
	same(t, "modified", got.Unix(), err, want.Unix(), wantErr)
}

// claim takes all that is due, since the order among what is due at the same time is
// free.
func (s *story) claim(t *rapid.T) {
	_, id := s.draw(t)
	until := s.now.Add(time.Minute)
	got, err := s.store.Claim(t.Context(), id.Type, 10, s.now, until)
	want, wantErr := s.memory.Claim(t.Context(), id.Type, 10, s.now, until)
	byDevice := func(a, b webservice.Push) int { return cmp.Compare(a.Device, b.Device) }
	slices.SortFunc(got, byDevice)
	slices.SortFunc(want, byDevice)
	alike := func(list []webservice.Push) (out []webservice.Push) {
		for _, p := range list {
			p.Sequence, p.Registered = 0, p.Registered.UTC().Truncate(time.Millisecond)
			out = append(out, p)
		}
		return out
	}
	same(t, "claim", alike(got), err, alike(want), wantErr)
	for i := range got {
		s.claimed = append(s.claimed, [2]webservice.Push{got[i], want[i]})
	}
}

// settle ends one of the claims, or one that was ended already.
func (s *story) settle(t *rapid.T) {
	if len(s.claimed) == 0 {
		return
	}
	pair := rapid.SampledFrom(s.claimed).Draw(t, "claim")
	verdict := webservice.Verdict(rapid.IntRange(int(webservice.Told), int(webservice.Gone)).Draw(t, "verdict"))
	at := s.now.Add(time.Duration(rapid.IntRange(-60, 60).Draw(t, "s")) * time.Second)
	got, err := s.store.Settle(t.Context(), []webservice.Settlement{{Push: pair[0], Verdict: verdict, Time: at}})
	want, wantErr := s.memory.Settle(t.Context(), []webservice.Settlement{{Push: pair[1], Verdict: verdict, Time: at}})
	same(t, "settle", got, err, want, wantErr)
}
