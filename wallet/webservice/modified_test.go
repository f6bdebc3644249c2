package webservice_test

import (
	"net/http"
	"testing"
	"time"

	"aviso.example/wallet/webservice"
)

// fetched expects a package and returns its Last-Modified.
func (r *rig) fetched(since, want string) string {
	r.Helper()
	a := r.fetch("SN-1", since)
	if a.status != http.StatusOK || a.body != want {
		r.Fatalf("since %q: %d %q, want %q", since, a.status, a.body, want)
	}
	at, err := http.ParseTime(a.header.Get("Last-Modified"))
	if err != nil || at.After(r.now()) {
		r.Fatalf("Last-Modified %q, %v; it is %v", a.header.Get("Last-Modified"), err, r.now())
	}
	return a.header.Get("Last-Modified")
}

func (r *rig) notModified(since string) {
	r.Helper()
	made := r.made
	a := r.fetch("SN-1", since)
	if a.status != http.StatusNotModified || a.body != "" || a.header.Get("Last-Modified") == "" {
		r.Fatalf("since %q: %d %q %v", since, a.status, a.body, a.header)
	}
	if r.made != made {
		r.Error("a package was made for nothing")
	}
}

func TestIfModifiedSince(t *testing.T) {
	both(t, func(t *testing.T, kind webservice.Kind) {
		r := newRig(t, kind, nil)
		r.register("SN-1")
		r.advance(time.Hour)
		r.change("SN-1", "second")
		changed := r.now()
		r.advance(time.Hour)

		last := r.fetched("", "second")
		if want := changed.UTC().Format(http.TimeFormat); last != want {
			t.Errorf("Last-Modified %q, want %q", last, want)
		}
		r.notModified(last)
		r.notModified(changed.Add(time.Minute).UTC().Format(http.TimeFormat))
		r.notModified(changed.UTC().Format("Monday, 02-Jan-06 15:04:05 GMT")) // RFC 850, which has to be read (RFC 9110 section 5.6.7)
		r.fetched(changed.Add(-time.Second).UTC().Format(http.TimeFormat), "second")
		for _, unreadable := range []string{"1760000000.5", "yesterday", "0", `"1"`} { // a number is another library's
			r.fetched(unreadable, "second")
		}

		header := r.authorized()
		header.Set("If-Modified-Since", last)
		header.Set("If-None-Match", `"1"`)
		if a := r.call("GET", r.packages("SN-1"), "", header); a.status != http.StatusOK {
			t.Errorf("with If-None-Match: %d", a.status)
		}
		header = r.authorized()
		header["If-Modified-Since"] = []string{last, changed.Add(-time.Minute).UTC().Format(http.TimeFormat)}
		if a := r.call("GET", r.packages("SN-1"), "", header); a.status != http.StatusOK {
			t.Errorf("with two times: %d", a.status)
		}
		header = http.Header{"If-Modified-Since": {last}}
		if a := r.call("GET", r.packages("SN-1"), "", header); a.status != http.StatusUnauthorized {
			t.Errorf("without authorization: %d", a.status)
		}

		r.change("SN-1", "third")
		r.fetched(last, "third")
	})
}

// A pass that nobody registered for has no time: the store never heard of it, and one
// of the clock would be made up.
func TestFirstFetch(t *testing.T) {
	r := newRig(t, webservice.Orders, nil)
	for _, since := range []string{"", r.now().Add(time.Hour).UTC().Format(http.TimeFormat)} {
		if a := r.fetch("SN-1", since); a.status != http.StatusOK || a.header.Get("Last-Modified") != "" {
			t.Errorf("%d %v", a.status, a.header)
		}
	}
}

// Whatever the clock does, a device that fetches ends with the latest version.
func TestNoChangeIsLostWithinASecond(t *testing.T) {
	r := newRig(t, webservice.Passes, nil)
	r.register("SN-1") // in the same second as all that follows
	last := r.fetched("", "first")
	for i, version := range []string{"second", "third", "fourth"} {
		r.change("SN-1", version)
		last = r.fetched(last, version)
		if i == 1 {
			r.advance(-time.Hour) // the clock goes back
		}
	}
	// The store's time is ahead of the clock, so the device asks once too often, until
	// the clock has caught up.
	r.fetched(last, "fourth")
	r.advance(2 * time.Hour)
	r.notModified(r.fetched(last, "fourth"))
}

// A change between reading the time and making the package must not give old bytes
// the new time.
func TestChangeWhileFetching(t *testing.T) {
	r := newRig(t, webservice.Passes, nil)
	r.register("SN-1")
	r.advance(time.Hour)
	r.during = func() {
		if _, err := r.store.Change(t.Context(), passType, []string{"SN-1"}, r.now()); err != nil {
			t.Error(err)
		}
	}
	last := r.fetched("", "first")
	r.put(r.id("SN-1"), "second")
	r.notModified(r.fetched(last, "second"))
}
