package webpush

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDeclarative(t *testing.T) {
	for _, test := range []struct {
		d    Declarative
		want string
	}{
		{
			Declarative{Title: "New message", Navigate: "https://example.com/inbox", Body: "Ada: hello", Tag: "m1"},
			`{"web_push":8030,"notification":{"title":"New message","navigate":"https://example.com/inbox","body":"Ada: hello","tag":"m1"}}`,
		},
		{
			Declarative{
				Title: "<T>", Navigate: "https://example.com/?a=1&b=2", Lang: "pt-BR", Dir: "ltr", Image: "https://example.com/i.png",
				Icon: "/icon.png", Badge: "b.png", Timestamp: time.UnixMilli(1453523768123), Vibrate: []int{200, 100, 0}, Tag: "x", Renotify: true,
				RequireInteraction: true, Data: json.RawMessage(`{"id": 5}`), Mutable: true, AppBadge: new(3),
				Actions: []Button{{Action: "read", Title: "Mark as read", Navigate: "https://example.com/read", Icon: "r.png"}},
			},
			`{"web_push":8030,"notification":{"title":"<T>","navigate":"https://example.com/?a=1&b=2","tag":"x","lang":"pt-BR","dir":"ltr",` +
				`"image":"https://example.com/i.png","icon":"/icon.png","badge":"b.png","timestamp":1453523768123,"vibrate":[200,100,0],"renotify":true,` +
				`"requireInteraction":true,"data":{"id":5},"actions":[{"action":"read","title":"Mark as read","navigate":"https://example.com/read","icon":"r.png"}],` +
				`"app_badge":"3"},"mutable":true}`,
		},
		{
			Declarative{Title: "T", Navigate: "http://localhost:8080/", Silent: true, AppBadge: new(0)},
			`{"web_push":8030,"notification":{"title":"T","navigate":"http://localhost:8080/","silent":true,"app_badge":"0"}}`,
		},
	} {
		got, err := test.d.Payload()
		if err != nil || string(got) != test.want {
			t.Errorf("%v\n%s", err, cmp.Diff(test.want, string(got)))
		}
	}
}

func TestDeclarativeProblems(t *testing.T) {
	fields := func(err error) string {
		invalid, ok := errors.AsType[*InvalidError](err)
		if !ok {
			return ""
		}
		var list []string
		for _, p := range invalid.Problems {
			list = append(list, p.Field)
		}
		return strings.Join(list, " ")
	}
	bad := &Declarative{
		Navigate: "/inbox", Lang: "deutsch-", Dir: "up", Image: "%", Icon: "%", Badge: "%", Timestamp: time.UnixMilli(-5),
		Vibrate: []int{1, -1, -2}, Silent: true, Renotify: true, Data: json.RawMessage(`{`), AppBadge: new(-1),
		Actions: []Button{{}, {Action: "a", Title: "b", Navigate: "mailto:a@b", Icon: "%"}},
	}
	_, err := bad.Payload()
	want := "Title Navigate Lang Dir Image Icon Badge Timestamp Vibrate Silent Renotify Data AppBadge " +
		"Actions[0].Action Actions[0].Title Actions[0].Navigate Actions[1].Navigate Actions[1].Icon"
	if got := fields(err); got != want {
		t.Errorf("%s\nwant %s\n%v", got, want, err)
	}
	for text, d := range map[string]*Declarative{
		"is missing":                          nil,
		"has 4089 bytes as JSON, and 3993 is": {Title: "T", Navigate: "https://example.com", Body: strings.Repeat("x", 4000)},
		"nothing to start from when no page":  {Title: "T", Navigate: "//example.com"},
		"takes the message for an ordinary":   {Title: "T"},
	} {
		if _, err := d.Payload(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("want %q: %v", text, err)
		}
	}
}

func TestCheckDeclarative(t *testing.T) {
	const rest = `"title":"T","navigate":"https://example.com/"`
	for payload, want := range map[string][]string{
		`{"web_push":8030,"notification":{` + rest + `}}`:                                                            {},
		`{"web_push":8030,"notification":{` + rest + `,"vibrate":[1,2],"data":5,"x":1,"actions":[]},"mutable":true}`: {},
		`{"web_push":8030,"notification":{` + rest + `,"vibrate":200}}`:                                              {},
		`{"web_push":"8030","notification":{` + rest + `}}`:                                                          {"web_push is not the number 8030"},
		`{"web_push":8030}`: {"notification is missing"},
		`{"web_push":8030,"notification":[],"mutable":1}`: {"mutable is neither true", "notification is not a JSON object"},
		`{"web_push":8031,"notification":{}}`:             {"web_push is not", "notification.title is missing", "notification.navigate is missing"},
		`{"web_push":8030,"notification":{"title":5,"navigate":"/x","dir":"up","silent":true,"vibrate":[1],"renotify":true,"requireInteraction":null}}`: {
			"notification.title is not a text", "notification.navigate is not an absolute", "notification.dir is none of", "notification.silent excludes",
			"notification.renotify needs", "notification.requireInteraction is neither",
		},
		`{"web_push":8030,"notification":{` + rest + `,"vibrate":"x","actions":[{},5,{"action":"a","title":1,"navigate":"https://example.com"}]}}`: {
			"notification.vibrate is neither", "notification.actions[0].action is missing", "notification.actions[0].title is missing",
			"notification.actions[0].navigate is missing", "notification.actions[1] is not a JSON object", "notification.actions[2].title is not a text",
		},
		`{"web_push":8030,"notification":{` + rest + `,"actions":{}}}`:                                     {"notification.actions is not a list"},
		`{"web_push":8030,"notification":{` + rest + `,"body":"` + strings.Repeat("x", MaxPayload) + `"}}`: {"has 4083 bytes, and 3993"},
	} {
		declarative, err := CheckDeclarative([]byte(payload))
		if !declarative {
			t.Errorf("%.100s: is not declarative", payload)
		}
		var problems []Problem
		if invalid, ok := errors.AsType[*InvalidError](err); ok {
			problems = invalid.Problems
		}
		if len(problems) != len(want) {
			t.Errorf("%.100s: %v", payload, err)
		}
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%.100s: %v\nwant %s", payload, err, w)
			}
		}
	}
	for _, payload := range []string{"", "hello", "[]", "null", "5", `{"title":"T"}`, `{"web_push":`} {
		if declarative, err := CheckDeclarative([]byte(payload)); declarative || err != nil {
			t.Errorf("%q: %v, %v", payload, declarative, err)
		}
	}
}

// What the builder makes passes, and what does not pass has a reason.
func FuzzCheckDeclarative(f *testing.F) {
	for _, seed := range []string{
		`{"web_push":8030,"notification":{"title":"T","navigate":"https://example.com/","actions":[{"action":"a"}]},"mutable":true}`,
		`{"web_push":8030,"notification":{"title":"T","navigate":"/","vibrate":[1,-1],"silent":true,"renotify":true,"tag":""}}`,
		`{"web_push":8030.0}`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		declarative, err := CheckDeclarative(payload)
		if invalid, ok := errors.AsType[*InvalidError](err); err != nil && (!ok || !declarative || len(invalid.Problems) == 0) {
			t.Fatal(err)
		}
		d := Declarative{Title: "T", Navigate: "https://example.com/", Body: string(payload)}
		if made, err := d.Payload(); err == nil {
			if declarative, err := CheckDeclarative(made); !declarative || err != nil {
				t.Fatalf("%s: %v", made, err)
			}
		}
	})
}
