package sim_test

import (
	"encoding/json"
	"strings"
	"testing"

	"aviso.example/sim"
)

// TestAPIBinary: what a test in any language sees of the binary protocol.
func TestAPIBinary(t *testing.T) {
	apple, b := startOld(t)
	for _, f := range []string{
		`{"kind":"error_packet","binary_status":10,"nth":2,"processed":true,"protocol":"binary"}`,
		`{"kind":"packet_identifier","identifier":7,"count":1}`,
		`{"kind":"cut_packet","bytes":5,"nth":9}`,
		`{"kind":"delay_packet","delay":"1ms"}`,
	} {
		if code, body := api(t, apple, "POST", "/sim/v1/faults", f); code != 201 {
			t.Fatalf("%s: %d %s", f, code, body)
		}
	}
	_, before := api(t, apple, "GET", "/sim/v1/faults", "")
	if code, after := api(t, apple, "PUT", "/sim/v1/faults", before); code != 200 || strings.Count(after, `"binary_status":10`) != 1 || !strings.Contains(after, `"protocol":"binary"`) || !strings.Contains(after, `"bytes":5`) {
		t.Errorf("%d: %s became %s", code, before, after)
	}
	o := dialOld(t, apple, b, b.Gateway)
	o.send(unhex(worked1), good(3), good(4))
	o.wantPacket(10, 7)

	code, body := api(t, apple, "GET", "/sim/v1/pushes?protocol=binary&outcome=accepted", "")
	var list struct{ Pushes []map[string]any }
	if err := json.Unmarshal([]byte(body), &list); err != nil || code != 200 || len(list.Pushes) != 2 {
		t.Fatalf("%d %s", code, body)
	}
	p := list.Pushes[0]
	old := p["binary"].(map[string]any)
	if p["protocol"] != "binary" || p["expiration"] != 1767225600.0 || p["topic"] != apple.Topic || len(p["header"].([]any)) != 0 ||
		old["command"] != 1.0 || old["identifier"] != float64(0x01020304) || old["status"] != 0.0 {
		t.Errorf("%v", p)
	}
	if _, body := api(t, apple, "GET", "/sim/v1/pushes?protocol=http2", ""); !strings.Contains(body, `"pushes":[]`) {
		t.Error(body)
	}
	if code, body := api(t, apple, "GET", "/sim/v1/pushes?protocol=feedback", ""); code != 400 || !strings.Contains(body, "http2 or binary") {
		t.Errorf("%d %s", code, body)
	}

	if _, body := api(t, apple, "GET", "/sim/v1/info", ""); !strings.Contains(body, `"binary":"`+b.Gateway) || !strings.Contains(body, `"feedback":"`+b.Feedback) {
		t.Error(body)
	}
	var st sim.Stats
	if _, body := api(t, apple, "GET", "/sim/v1/stats", ""); json.Unmarshal([]byte(body), &st) != nil || st.Binary.Accepted != 2 || st.Binary.Packets != 1 || st.Requests != 0 {
		t.Error(body)
	}
	if _, body := api(t, apple, "GET", "/sim/v1/connections", ""); !strings.Contains(body, `"protocol":"binary"`) || !strings.Contains(body, `"uid":"`+apple.Topic) {
		t.Error(body)
	}
}

func TestAPIFeedback(t *testing.T) {
	apple, b := startOld(t)
	entry := `{"topic":"com.example.app","device_token":"` + strings.ToUpper(workedToken) + `","time":"2026-01-01T00:00:00Z"}`
	if code, body := api(t, apple, "POST", "/sim/v1/feedback", entry); code != 201 || !strings.Contains(body, workedToken) {
		t.Errorf("%d %s", code, body)
	}
	if _, body := api(t, apple, "GET", "/sim/v1/feedback?topic=com.example.other", ""); body != `{"feedback":[]}`+"\n" {
		t.Error(body)
	}
	wantTuples(t, apple, b, unhex("6955b9000020"+workedToken))
	for body, want := range map[string]string{
		`{"topic":"a"}`: "hexadecimal", `{"device_token":"ab"}`: "topic is missing", `{"topics":"a"}`: "unknown member",
	} {
		if code, got := api(t, apple, "POST", "/sim/v1/feedback", body); code < 400 || !strings.Contains(got, want) {
			t.Errorf("%s: %d %s", body, code, got)
		}
	}
	addFeedback(t, apple, 1)
	if code, _ := api(t, apple, "DELETE", "/sim/v1/feedback", ""); code != 204 || len(apple.Feedback("")) > 0 {
		t.Errorf("%d", code)
	}
	if code, _ := api(t, apple, "PUT", "/sim/v1/feedback", "{}"); code != 405 {
		t.Errorf("%d", code)
	}
}
