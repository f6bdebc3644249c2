package api

import "testing"

// The server says how it fares, with its apps.
func TestStatus(t *testing.T) {
	t.Parallel()
	r := newRig(t, "shop", "other")
	r.waitMessage(r.post(`{"to":"` + r.apple.DeviceToken + `","title":"T","app":"shop"}`).ID)
	r.figures.forget()
	var s Status
	r.get("/v1/status", &s)
	if s.Version != "test" || s.Since.IsZero() || s.LogBytes == 0 || s.LogLimit == 0 || s.Full || len(s.Apps) != 2 {
		t.Fatalf("%+v", s)
	}
	if app := s.Apps[1]; app.ID != "shop" || len(app.Lanes) != 1 || app.Lanes[0].Verdicts["accepted"] != 1 {
		t.Errorf("%+v", app)
	}
}
