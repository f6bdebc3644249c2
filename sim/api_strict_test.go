package sim_test

import (
	"strings"
	"testing"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// What the test API does not understand it refuses, and then it has done nothing.
func TestAPIIsStrict(t *testing.T) {
	apns := apnstest.Start(t)
	apns.AddFault(t, sim.Fault{Kind: sim.FaultSilence, Every: 1000})
	faults, devices := "/sim/v1/faults", "/sim/v1/devices"
	for _, c := range [][4]string{
		{"PUT", faults, `null`, "the body is null"},
		{"PUT", faults, `{"faults":null}`, `member \"faults\" is null`},
		{"PUT", faults, `{}`, `member \"faults\" is missing`},
		{"PUT", faults, `{"faults":[],"faults":[]}`, `member \"faults\" is there twice`},
		{"PUT", faults, `{"FAULTS":[]}`, `unknown member \"FAULTS\"`},
		{"PUT", faults, `[null]`, `element 1 is null`},
		{"PUT", faults, `[{"kind":"silence"},{"kind":"delay","delay":null}]`, `member \"delay\" is null`},
		{"POST", faults, `null`, "the body is null"},
		{"POST", faults, `{"kind":"silence","kind":"delay"}`, `member \"kind\" is there twice`},
		{"POST", faults, `{"kind":"silence","Kind":"delay"}`, `unknown member \"Kind\"`},
		{"POST", faults, `{"kind":"settings","settings":{"max_streams":null}}`, `member \"max_streams\" is null`},
		{"POST", faults, `{"kind":"settings","settings":{"max_streams":1,"max_streams":2}}`, `member \"max_streams\" is there twice`},
		{"POST", faults, `{"kind":"delay","delay":"9999999h"}`, `member \"delay\": a duration is at most 2562047h`},
		{"POST", faults, `{"kind":"delay","delay":"9999999"}`, "with a unit"},
		{"POST", faults, `{"kind":"delay","delay":"h"}`, "with a unit"},
		{"POST", faults, `{"kind":"goaway","code":"NOPE"}`, `member \"code\": code must be`},
		{"POST", faults, "{\"kind\":\"goaway\",\"debug\":\"\xff\"}", "not UTF-8"},
		{"DELETE", faults, `{"id":"f1"}`, "takes no body"},
		{"DELETE", faults + "?id=f1", ``, `unknown parameter \"id\"; there is none here`},
		{"DELETE", faults + "?a=1;b=2", ``, "cannot be parsed"},
		{"POST", faults + "?x=1", `{"kind":"silence"}`, "unknown parameter"},
		{"POST", devices, `null`, "the body is null"},
		{"POST", devices, `[{"device_token":"01"},{"device_token":"02","device_token":"03"}]`, "there twice"},
		{"POST", devices, `{"device_token":"01","throttle":{"limit":1,"per":null}}`, `member \"per\" is null`},
		{"POST", devices, `{"device_token":"01","since":null}`, `member \"since\" is null`},
		{"POST", devices, `{"device_token":"01","topics":["a",null]}`, "element 2 is null"},
		{"PUT", "/sim/v1/clock", `{"offset":null}`, `member \"offset\" is null`},
		{"GET", "/sim/v1/pushes?limit=&zebra=1", ``, `parameter \"limit\" is empty; leave it out; unknown parameter \"zebra\"`},
		{"GET", "/sim/v1/pushes?limit=x&wait=1&outcome=y", ``, `\"limit\" must be a number from 0 to 10000; parameter \"wait\" must`},
		{"GET", "/sim/v1/pushes?topic=%FF", ``, "not UTF-8"},
		{"GET", "/sim/v1/stats?verbose", ``, "unknown parameter"},
		{"GET", "/sim/v1/info?x=%", ``, "cannot be parsed"},
		{"POST", "/sim/v1/feedback", `{"topic":"a","device_token":"ab","topic":"b"}`, "there twice"},
		{"POST", "/sim/v1/channels", `{"bundle_id":null}`, `member \"bundle_id\" is null`},
		{"POST", "/sim/v1/activities", `{"device_tokens":[null]}`, "element 1 is null"},
	} {
		if code, body := api(t, apns, c[0], c[1], c[2]); code != 400 || !strings.Contains(body, c[3]) {
			t.Errorf("%s %s %s: %d %s, want %s", c[0], c[1], c[2], code, body, c[3])
		}
	}
	if n := len(apns.Faults()); n != 1 {
		t.Errorf("%d faults", n)
	}
	if _, err := apns.Devices().Get("01"); err == nil {
		t.Error("a device was added")
	}
	// What the app says about its activity is its own.
	if code, body := api(t, apns, "POST", "/sim/v1/activities", `{"device_token":"`+apns.DeviceToken+`","bundle_id":"`+apns.Topic+`","attributes_type":"T","attributes":{"a":null},"content_state":{"a":null,"A":1}}`); code != 201 {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := api(t, apns, "DELETE", faults, `{}`); code != 204 {
		t.Error(code)
	}
}
