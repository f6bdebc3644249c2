package payload_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"aviso.example/internal/cputime"
	"aviso.example/payload"
	"pgregory.net/rapid"
)

// samples are payloads of every shape, for truncation and as fuzz seeds.
var samples = []string{
	``, ` `, `{}`, `[]`, `null`, `"x"`, `0`, hi, silent,
	`{"aps":{"alert":{"title":"Game Request","subtitle":"Five","body":"Bob \"wants\" to \u0070lay \ud83d\ude00 👨‍👩‍👧"},"badge":9,"sound":{"critical":1,"name":"x","volume":0.5},"interruption-level":"critical"},"k":[1,-2.5e3,true,false,null,{"a":{}}]}`,
	`{"aps":{"timestamp":1732200000,"event":"start","attributes-type":"A","attributes":{"hero":"Panda"},"content-state":{"health":100},"input-push-token":1,"alert":{"title":{"loc-key":"k","loc-args":["1"]},"sound":"x"}}}`,
	`{"mdm":"M"}`, `{"callUUID":"7e9f…"}`, `{"aps":{"content-changed":true}}`,
	`{"aps":{"alert":{"title":"t","body":"b","action":"View"},"url-args":["boarding",7]}}`,
	"{\"aps\":{\"alert\":\"\xff\xed\xa0\x80\\ud800\"}}", "\xef\xbb\xbf{}", `{"a":1,"a":2,"\u0061":3}`,
	`{"message":{"aps":{"alert":"a"}},"badge":"1"}`, strings.Repeat(`[`, 600), `{"aps":` + strings.Repeat(`{"aps":`, 60),
}

var pushTypes = []payload.PushType{
	"", "nonsense", payload.PushTypeAlert, payload.PushTypeBackground, payload.PushTypeComplication, payload.PushTypeControls,
	payload.PushTypeFileProvider, payload.PushTypeLiveActivity, payload.PushTypeLocation, payload.PushTypeMDM,
	payload.PushTypePushToTalk, payload.PushTypeVoIP, payload.PushTypeWidgets,
}

// TestTruncation cuts every sample at every byte: a proper prefix of a JSON
// object is never one itself, and nothing panics over it.
func TestTruncation(t *testing.T) {
	for _, sample := range samples {
		whole := strings.TrimRight(sample, " \n")
		for n := range len(whole) {
			cut := []byte(whole[:n])
			payload.Linter{Topic: "web.x", Broadcast: true}.Lint(pushTypes[n%len(pushTypes)], cut)
			payload.Lint(pushTypes[n/2%len(pushTypes)], cut)
			if !strings.HasPrefix(whole, "{") {
				continue
			}
			if _, err := payload.ParseRaw("", cut); err == nil {
				t.Errorf("ParseRaw took %q", cut)
			}
			if _, err := payload.Shorten(cut, n/2); err == nil {
				t.Errorf("Shorten took %q", cut)
			}
			findings := payload.Lint("", cut)
			if _, malformed := find(findings, payload.CodeMalformedJSON); n > 0 && !malformed {
				if _, deep := find(findings, payload.CodeTooDeep); !deep {
					t.Errorf("Lint let %q pass", cut)
				}
			}
		}
	}
}

// TestLintTakesLinearTime feeds the largest payloads that are looked at, in
// shapes that would make careless code quadratic.
func TestLintTakesLinearTime(t *testing.T) {
	fill := func(prefix, unit, suffix string) []byte {
		return []byte(prefix + strings.Repeat(unit, (60<<10-len(prefix)-len(suffix))/len(unit)) + suffix)
	}
	for _, body := range [][]byte{
		fill(`{"aps":{"alert":"a"`, `,"badge":1`, `}}`),
		fill(`{"aps":{`+strings.Repeat(`"a":1,`, 5000)+`"alert":"a"}`, `,"badge":1`, `}`),
		fill(`{"aps":{"alert":{"loc-key":"k","loc-args":[1`, `,1`, `]}}}`),
		fill(`{"aps":{"alert":"`, `\ud800`, `"}}`),
		fill(`{"aps":{"alert":"`, "e\u0301", `"}}`),
		fill(`{"k":[1`, `,1e999`, `]}`),
		fill(``, `{"aps":`, ``),
		fill(`{"k":1`, strings.Repeat("9", 60<<10-20), `}`),
		fill(`{`, `"`+strings.Repeat("k", 30)+`":1,`, `"aps":{}}`),
	} {
		before := cputime.Used()
		for _, pushType := range []payload.PushType{"", payload.PushTypeAlert, payload.PushTypeLiveActivity, payload.PushTypeVoIP} {
			payload.Lint(pushType, body)
		}
		// Linear work takes some milliseconds; a quadratic rule takes minutes.
		if took := cputime.Used() - before; took > 10*time.Second {
			t.Errorf("%.40s…: %v", body, took)
		}
	}
}

func TestBadgeProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int().Draw(t, "n")
		got, err := payload.Alert{Body: "b", Badge: payload.SetBadge(n)}.JSON()
		if n < 0 {
			if err == nil {
				t.Fatalf("badge %d was accepted", n)
			}
			return
		}
		var decoded struct {
			APS struct {
				Badge *int `json:"badge"`
			} `json:"aps"`
		}
		if err != nil || json.Unmarshal(got, &decoded) != nil || decoded.APS.Badge == nil || *decoded.APS.Badge != n {
			t.Fatalf("badge %d: %s, %v", n, got, err)
		}
	})
}

// TestCustomProperty sends arbitrary JSON through Custom and back.
func TestCustomProperty(t *testing.T) {
	leaf := rapid.OneOf(rapid.Just(any(nil)), rapid.Bool().AsAny(), rapid.String().AsAny(),
		rapid.Float64Range(-1e15, 1e15).AsAny(), rapid.Int32().AsAny())
	value := rapid.OneOf(leaf, rapid.SliceOfN(leaf, 0, 4).AsAny(), rapid.MapOfN(rapid.String(), leaf, 0, 4).AsAny())
	key := rapid.String().Filter(func(s string) bool { return s != "aps" })
	rapid.Check(t, func(t *rapid.T) {
		custom := rapid.MapOfN(key, value, 0, 6).Draw(t, "custom")
		body := rapid.String().Filter(func(s string) bool { return s != "" }).Draw(t, "body")
		got, err := payload.Alert{Body: body, Custom: custom}.JSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := payload.Alert{Body: body, Custom: custom}.JSON()
		if err != nil || string(again) != string(got) {
			t.Fatalf("not deterministic:\n%s\n%s", got, again)
		}
		var decoded map[string]any
		if err := json.Unmarshal(got, &decoded); err != nil {
			t.Fatal(err)
		}
		if text := decoded["aps"].(map[string]any)["alert"].(map[string]any)["body"]; text != body {
			t.Fatalf("body %q became %q", body, text)
		}
		delete(decoded, "aps")
		var want map[string]any
		encoded, err := json.Marshal(custom)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(encoded, &want); err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = map[string]any{}
		}
		if !reflect.DeepEqual(decoded, want) {
			t.Fatalf("\n got %v\nwant %v", decoded, want)
		}
		for _, f := range payload.Lint("alert", got) {
			if f.Severity != payload.Suspicious {
				t.Fatalf("%v in %s", f, got)
			}
		}
	})
}

// TestEveryFieldIsEncoded fails when a field is added to a builder and does not
// reach the JSON: each exported field in turn is changed, and the JSON must
// change with it.
func TestEveryFieldIsEncoded(t *testing.T) {
	state := struct{}{}
	alert := payload.LiveActivityAlert{Title: "t", TitleLocKey: ""}
	for _, tt := range []struct {
		base payload.Payload
		// with holds fields that need another one beside them.
		with map[string]payload.Payload
	}{
		{payload.Alert{Body: "b"}, map[string]payload.Payload{
			"TitleLocArgs":    payload.Alert{Body: "b", TitleLocKey: "k"},
			"SubtitleLocArgs": payload.Alert{Body: "b", SubtitleLocKey: "k"},
			"LocKey":          payload.Alert{Title: "t"},
			"LocArgs":         payload.Alert{LocKey: "k"},
		}},
		{payload.Website{Title: "t", Body: "b"}, nil},
		{payload.Background{}, nil},
		{payload.Complication{}, nil},
		{payload.Location{}, nil},
		{payload.VoIP{}, nil},
		{payload.PushToTalk{}, nil},
		{payload.FileProvider{Domain: "d"}, nil},
		{payload.MDM{PushMagic: "m"}, nil},
		{payload.Widgets{}, nil},
		{payload.Controls{}, nil},
		{payload.WalletUpdate{}, nil},
		{payload.LiveActivityStart{Timestamp: at(1732200000), AttributesType: "A", Attributes: state, ContentState: state, Alert: alert}, nil},
		{payload.LiveActivityUpdate{Timestamp: at(1732200000), ContentState: state}, nil},
		{payload.LiveActivityEnd{Timestamp: at(1732200000), ContentState: state}, nil},
	} {
		typ := reflect.TypeOf(tt.base)
		for field := range typ.Fields() {
			base := tt.base
			if other, ok := tt.with[field.Name]; ok {
				base = other
			}
			checkField(t, typ.Name()+"."+field.Name, base, func(v reflect.Value) reflect.Value { return v.FieldByIndex(field.Index) })
		}
	}
	for field := range reflect.TypeFor[payload.LiveActivityAlert]().Fields() {
		a := payload.LiveActivityAlert{Title: "t"}
		switch field.Name {
		case "TitleLocKey":
			a = payload.LiveActivityAlert{Body: "b"}
		case "TitleLocArgs":
			a = payload.LiveActivityAlert{TitleLocKey: "k"}
		case "LocArgs":
			a = payload.LiveActivityAlert{LocKey: "k"}
		}
		base := payload.LiveActivityStart{Timestamp: at(1732200000), AttributesType: "A", Attributes: state, ContentState: state, Alert: a}
		checkField(t, "LiveActivityAlert."+field.Name, base, func(v reflect.Value) reflect.Value {
			return v.FieldByName("Alert").FieldByIndex(field.Index)
		})
	}
}

func checkField(t *testing.T, name string, base payload.Payload, field func(reflect.Value) reflect.Value) {
	t.Helper()
	before, err := base.JSON()
	if err != nil {
		t.Errorf("%s: base: %v", name, err)
		return
	}
	changed := reflect.New(reflect.TypeOf(base)).Elem()
	changed.Set(reflect.ValueOf(base))
	target := field(changed)
	switch v := target.Addr().Interface().(type) {
	case *string:
		*v += "x"
	case *[]string:
		*v = []string{"x"}
	case *bool:
		*v = true
	case **float64:
		*v = new(0.5)
	case *any:
		*v = map[string]string{"x": "y"}
	case *time.Time:
		*v = at(1732200100)
	case *payload.Badge:
		*v = payload.SetBadge(1)
	case *payload.Sound:
		*v = payload.DefaultSound()
	case *payload.InterruptionLevel:
		*v = payload.InterruptionActive
	case *payload.UpdateSource:
		*v = payload.UpdatesByDeviceToken()
	case *payload.LiveActivityAlert:
		v.Body = "x"
	case **payload.LiveActivityAlert:
		*v = &payload.LiveActivityAlert{Body: "x"}
	default:
		t.Errorf("%s has a type this test does not know: %v", name, target.Type())
		return
	}
	after, err := changed.Interface().(payload.Payload).JSON()
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if string(before) == string(after) {
		t.Errorf("%s does not reach the JSON: %s", name, after)
	}
}
