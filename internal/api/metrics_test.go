package api

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"aviso.example/sim"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "BadDeviceToken", Count: 1})
	m := r.post(`{"to":["` + device(1) + `","` + device(2) + `","xyz"],"title":"x"}`)
	r.waitMessage(m.ID)
	var receipt BatchReceipt
	r.want(r.postBatch("", lines(`{"title":"x"}`, 0, 3)+"{}\n"), 202, &receipt)
	r.waitBatch(receipt.ID)
	r.do("GET", "/v1/deliveries/x", "")
	r.do("GET", "/nothing", "")
	time.Sleep(snapshotAge) // figures may be that old
	a := r.do("GET", "/metrics", "")
	r.want(a, 200, nil)
	for _, want := range []string{
		`aviso_messages_accepted_total{app="shop",environment="sandbox"} 1`,
		`aviso_notifications_accepted_total{app="shop",environment="sandbox",lane="normal"} 2`,
		`aviso_notifications_accepted_total{app="shop",environment="sandbox",lane="bulk"} 3`,
		`aviso_notifications_refused_total{app="shop",environment="sandbox"} 2`,
		`aviso_deliveries_total{app="shop",environment="sandbox",lane="normal",outcome="accepted",reason=""} 1`,
		`aviso_deliveries_total{app="shop",environment="sandbox",lane="normal",outcome="rejected",reason="BadDeviceToken"} 1`,
		`aviso_queue_chunks{app="shop",environment="sandbox",lane="bulk"} `,
		`aviso_queue_bytes{`, `aviso_queue_oldest_seconds{`, `aviso_under_way{`,
		`aviso_apns_connections{app="shop",environment="sandbox",lane="normal"} 1`,
		`aviso_apns_streams{`, `aviso_apns_stream_limit{`, `aviso_apns_dials_total{`, `aviso_apns_dial_failures_total{`,
		`aviso_app_paused{app="shop"} 0`, `aviso_dead_tokens 0`, `aviso_log_bytes `, `aviso_log_limit_bytes `, `aviso_log_full 0`, `aviso_chunks_aside 0`, `aviso_up 1`,
		`aviso_build_info{go_version="go`, `version="test"} 1`,
		`aviso_http_requests_total{code="202",route="POST /v1/messages"} 1`,
		`aviso_http_requests_total{code="422",route="GET /v1/deliveries/{id}"} 1`,
		`aviso_http_requests_total{code="404",route="none"} 1`,
		`go_goroutines `, `process_cpu_seconds_total `,
	} {
		if !strings.Contains(a.text, want) {
			t.Errorf("there is no %s", want)
		}
	}
	// No label has a device token or an id.
	for _, s := range []string{device(1), m.ID, *m.Deliveries[0], receipt.ID} {
		if strings.Contains(a.text, s) {
			t.Errorf("%s is in a label", s)
		}
	}
	// Every name is ours or the runtime's, and explained.
	for line := range strings.Lines(a.text) {
		if name := regexp.MustCompile(`^\w+`).FindString(line); name != "" && !regexp.MustCompile(`^(aviso|go|process)_`).MatchString(name) {
			t.Errorf("%s", line)
		}
	}
}
