package webservice_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"aviso.example/apnstest"
	"aviso.example/wallet/webservice"
	"aviso.example/wallet/webservice/storetest"
)

// TestModel plays random stories over HTTP and holds every answer against what two
// devices must have been told. The clock jumps both ways.
func TestModel(t *testing.T) {
	both(t, func(t *testing.T, kind webservice.Kind) {
		r := newRig(t, kind, func(cfg *webservice.Config) { cfg.Store = &movable{&storetest.Memory{}} })
		apple := apnstest.Start(t) // pushes play no part here
		rapid.Check(t, func(rt *rapid.T) {
			r.store.(*movable).Store = &storetest.Memory{}
			s := &story{rig: r, serials: []string{"SN-1", "SN-2", "SN-3"}}
			for _, serial := range s.serials {
				r.put(r.id(serial), "0")
			}
			for i := range 2 {
				s.devices = append(s.devices, &modelDevice{
					iphone:     newIPhone(r, apple, fmt.Sprint("device", i), fmt.Sprintf("%064x", i)),
					registered: map[string]bool{}, news: map[string]bool{},
				})
			}
			rt.Repeat(map[string]func(*rapid.T){
				"register":   s.register,
				"unregister": s.unregister,
				"change":     s.change,
				"ask":        s.ask,
				"forget tag": s.forgetTag,
				"fetch":      s.fetch,
				"time": func(rt *rapid.T) {
					r.advance(time.Duration(rapid.IntRange(-3000, 5000).Draw(rt, "ms")) * time.Millisecond)
				},
			})
		})
	})
}

type story struct {
	*rig
	serials []string
	devices []*modelDevice
	version int
}

// modelDevice is a device and what it has to be told.
type modelDevice struct {
	*iphone
	registered map[string]bool
	news       map[string]bool // changed or registered since it asked last
}

func (s *story) draw(t *rapid.T) (*modelDevice, string) {
	return rapid.SampledFrom(s.devices).Draw(t, "device"), rapid.SampledFrom(s.serials).Draw(t, "serial")
}

func (s *story) register(t *rapid.T) {
	d, serial := s.draw(t)
	want := http.StatusCreated
	if d.registered[serial] {
		want = http.StatusOK
	} else {
		d.news[serial] = true
	}
	a := call(s.T, "POST", d.registration(serial), `{"pushToken":"`+d.deviceToken+`"}`, d.header())
	if a.status != want {
		t.Fatalf("registering: %d %s, want %d", a.status, a.body, want)
	}
	d.registered[serial] = true
	if d.have[serial] == nil {
		d.have[serial] = &copied{content: s.current(serial)}
	}
}

func (s *story) unregister(t *rapid.T) {
	d, serial := s.draw(t)
	d.remove(serial)
	delete(d.registered, serial)
	delete(d.news, serial)
}

func (s *story) change(t *rapid.T) {
	_, serial := s.draw(t)
	s.version++
	s.rig.change(serial, fmt.Sprint(s.version))
	for _, d := range s.devices {
		if d.registered[serial] {
			d.news[serial] = true
		}
	}
}

func (s *story) ask(t *rapid.T) {
	d, _ := s.draw(t)
	want := slices.Sorted(maps.Keys(d.news))
	if d.tag == "" {
		want = slices.Sorted(maps.Keys(d.registered))
	}
	if got := d.iphone.ask(); !slices.Equal(got, want) {
		t.Fatalf("what changed: %q, want %q", got, want)
	}
	clear(d.news)
}

// forgetTag is a device that was restored.
func (s *story) forgetTag(t *rapid.T) {
	d, _ := s.draw(t)
	d.tag = ""
}

// fetch never leaves a device with an old version.
func (s *story) fetch(t *rapid.T) {
	d, serial := s.draw(t)
	have := d.have[serial]
	if have == nil {
		return
	}
	d.fetched = nil
	d.iphone.fetch(serial)
	if have.content != s.current(serial) {
		t.Fatalf("after %v it has version %s, not %s", d.fetched, have.content, s.current(serial))
	}
	// Once the clock has come to the time of the version, nothing is fetched twice.
	modified, err := s.store.Modified(s.Context(), s.id(serial))
	if err != nil {
		t.Fatal(err)
	}
	if modified.After(s.now()) {
		return
	}
	d.fetched = nil
	d.iphone.fetch(serial)
	d.iphone.fetch(serial)
	if d.fetched[1] != http.StatusNotModified {
		t.Fatalf("modified at %v, it is %v: %v", modified, s.now(), d.fetched)
	}
}
