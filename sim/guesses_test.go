package sim_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

func TestGuessesByName(t *testing.T) {
	var g sim.Guesses
	for name, value := range map[string]string{
		"refuse_der": "", "strict_issued_at": "true", "future_issued_at": "30m", "stored_per_topic": "3", "order": "headers_first",
		"lowercase_server_ids": "1", "create_channel_ok": "true", "internal_error_after_idle": "1h", "refuse_malformed_json": "",
		"binary.early_limit": "", "binary.feedback_from_http2": "", "binary.feedback_removal": "confirmed", "limit_at_once": "false",
	} {
		if err := g.Set(name, value); err != nil {
			t.Error(err)
		}
	}
	if !g.RefuseDER || !g.StrictIssuedAt || g.FutureIssuedAt != 30*time.Minute || g.StoredPerTopic != 3 || g.Order != "headers_first" || !g.LowercaseServerIDs ||
		!g.CreateChannelOK || g.InternalErrorAfterIdle != time.Hour || !g.RefuseMalformedJSON || !g.Binary.EarlyLimit || !g.Binary.FeedbackFromHTTP2 || g.Binary.FeedbackRemoval != "confirmed" || g.LimitAtOnce {
		t.Errorf("%+v", g)
	}
	for name, value := range map[string]string{"refuse_derr": "", "refuse_der": "maybe", "future_issued_at": "30", "stored_per_topic": "many"} {
		if err := g.Set(name, value); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}

// Every guess can be seen and changed over the test API, while the server runs.
func TestGuessesOverTheAPI(t *testing.T) {
	apns := apnstest.Start(t)
	s := func(method, path, body string) (int, string) { return api(t, apns, method, path, body) }
	r := connect(t, apns)
	upper := "EABEAE54-14A8-11E5-B60B-1697F925EC7B"
	if a := r.answer(r.push("apns-id", upper)); a.status != "200" {
		t.Errorf("%+v", a)
	}
	status, body := s(http.MethodPut, "/sim/v1/guesses", `{"refuse_uppercase_ids": true, "future_issued_at": "5m"}`)
	if status != 200 || !strings.Contains(body, `"refuse_uppercase_ids":true`) || !strings.Contains(body, `"future_issued_at":"5m0s"`) {
		t.Errorf("%d %s", status, body)
	}
	if a := r.answer(r.push("apns-id", upper)); a.status != "400" {
		t.Errorf("%+v", a)
	}
	for body, want := range map[string]string{
		`{"refuse_derr":true}`: "there is no guess", `{"refuse_der":null}`: "is null", `{"stored_per_topic":-1}`: "negative", `{"order":"random"}`: "Order", `[]`: "",
	} {
		if status, text := s(http.MethodPut, "/sim/v1/guesses", body); status/100 != 4 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
	if status, body := s(http.MethodPut, "/sim/v1/guesses", `{}`); status != 200 || !strings.Contains(body, `"future_issued_at":"1h0m0s"`) {
		t.Errorf("%d %s", status, body)
	}
	for _, name := range sim.GuessNames() {
		if !strings.Contains(body, `"`+name+`":`) {
			t.Errorf("%s is not shown", name)
		}
	}
	if a := r.answer(r.push("apns-id", upper)); a.status != "200" {
		t.Errorf("%+v", a)
	}
}
