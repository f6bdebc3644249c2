package api

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// wrongMessage has, for each key of a message, values that are wrong whatever else
// stands there; rightMessage has right ones, which go together. The values of the
// keys of a notification are internal/message's, and its tests have more of them.
var (
	far          = toJSON(time.Now().Add(400 * 24 * time.Hour))
	wrongMessage = map[string][]string{
		"to":                 {`5`, `true`, `"xyz"`, `"\ud83d"`},
		"app":                {`5`, `[]`, `{}`, `true`, `"shopp"`, `""`, `"\ud83d"`, "\"\xff\""},
		"environment":        {`5`, `"test"`, `"development"`, `[]`, "\"\xff\""},
		"lane":               {`5`, `"urgnt"`, `{}`, `"\udead"`},
		"on_unknown":         {`5`, `true`, `"retry"`, `[]`},
		"send_at":            {`1.5`, `"tomorrow"`, `[]`, `-1`, `"1700000000"`, `1800000000000`, far, `"\ud83d"`},
		"registered_at":      {`0`, `"x"`, `{}`, `1700000000000`, `"9999-12-31T23:59:59Z"`, far, `7000000000`},
		"title":              {`5`, `"\ud83d"`, "\"caf\xe9\""},
		"badge":              {`-1`, `"7"`, `true`},
		"topic":              {`5`, `"a b"`, `"<topic>"`},
		"push_type":          {`5`, `"silent"`, `[]`},
		"priority":           {`7`, `"10"`, `[]`},
		"expiration":         {`-3`, `"soon"`, `1000000000`},
		"collapse_id":        {`5`, `"` + strings.Repeat("x", 65) + `"`},
		"interruption_level": {`1`, `"loud"`},
		"data":               {`5`, `{"aps":1}`, `{"a":"\ud83d"}`},
		"id":                 {`5`, `"0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7f"`},
		"titel":              {`5`, `"x"`, `[1,{"a":2}]`},
		"defaults":           {`{}`, `5`},
	}
	rightMessage = map[string]string{
		"to": `"aa"`, "app": `"shop"`, "environment": `"sandbox"`, "lane": `"bulk"`, "on_unknown": `"drop"`, "send_at": `1700000000`, "registered_at": `1700000000`,
		"title": `"T"`, "badge": `1`, "topic": `"a.b"`, "push_type": `"alert"`, "priority": `5`, "expiration": `"1h"`, "collapse_id": `"c"`,
		"interruption_level": `"active"`, "data": `{"k":1}`,
	}
)

// wrongObject makes an object of which the given keys are wrong and the others of
// right are there, in any order.
func wrongObject(random *rand.Rand, right map[string]string, wrong []string) string {
	var members []string
	for key, value := range right {
		if !slices.Contains(wrong, key) {
			members = append(members, fmt.Sprintf("%q:%s", key, value))
		}
	}
	for _, key := range wrong {
		list := wrongMessage[key]
		if key != "titel" && key != "defaults" && key != "id" {
			list = append(slices.Clone(list), `null`)
		}
		members = append(members, fmt.Sprintf("%q:%s", key, list[random.IntN(len(list))]))
	}
	random.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + strings.Join(members, ",") + "}"
}

// someOf draws keys.
func someOf(random *rand.Rand, keys []string) (some []string) {
	for _, key := range keys {
		if random.IntN(4) == 0 {
			some = append(some, key)
		}
	}
	return some
}

func fieldsOf(problems []FieldProblem) (fields []string) {
	for _, p := range problems {
		field, _, _ := strings.Cut(p.Field, "[")
		fields = append(fields, field)
	}
	slices.Sort(fields)
	return fields
}

func sortedKeys(m map[string][]string) (keys []string) {
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// Of a message with wrong values exactly these are named, in any order and with
// whatever else there is.
func TestWrongValuesHideNothing(t *testing.T) {
	r := newRig(t, "shop", "bank")
	r.pause()
	random := rand.New(rand.NewPCG(3, 4))
	keys := sortedKeys(wrongMessage)
	for i := range 400 {
		wrong := someOf(random, keys)
		if i < len(keys) {
			wrong = keys[i : i+1]
		}
		if len(wrong) == 0 {
			continue
		}
		text := wrongObject(random, rightMessage, wrong)
		p := r.wantProblem(r.do("POST", "/v1/messages", text), &invalidRequest)
		if got := fieldsOf(p.Errors); !slices.Equal(got, wrong) {
			t.Errorf("%s\nnamed %q, want %q: %v", text, got, wrong, p.Errors)
		}
	}
}

// The same for a line of a batch, which names them in a sentence, and for its
// defaults.
func TestWrongValuesOfBatchesHideNothing(t *testing.T) {
	r := newRig(t)
	r.pause()
	random := rand.New(rand.NewPCG(5, 6))
	right := map[string]string{}
	for key, value := range rightMessage {
		if key != "app" && key != "environment" && key != "lane" {
			right[key] = value
		}
	}
	keys := sortedKeys(wrongMessage)
	var body strings.Builder
	var want [][]string
	for range 300 {
		if wrong := someOf(random, keys); len(wrong) > 0 {
			body.WriteString(wrongObject(random, right, wrong) + "\n")
			want = append(want, wrong)
		}
	}
	var receipt BatchReceipt
	r.want(r.postBatch("", body.String()), 202, &receipt)
	if len(receipt.Errors) != len(want) {
		t.Fatalf("%d lines are wrong, want %d", len(receipt.Errors), len(want))
	}
	lines := strings.Split(body.String(), "\n")
	for i, e := range receipt.Errors {
		for _, key := range want[i] {
			if !strings.Contains(e.Problem, fmt.Sprintf("%q ", key)) && !strings.Contains(e.Problem, fmt.Sprintf("unknown key %q", key)) {
				t.Errorf("%s: nothing about %q in %s", lines[i], key, e.Problem)
			}
		}
		if n := strings.Count(e.Problem, "; \"") + strings.Count(e.Problem, "; unknown key"); n >= len(want[i])+1 || strings.Contains(e.Problem, "there is nothing") {
			t.Errorf("%s: too much in %s", lines[i], e.Problem)
		}
	}
	keys = slices.DeleteFunc(keys, func(key string) bool {
		return key == "topic" || key == "collapse_id" || key == "environment" || key == "send_at"
	})
	for range 100 {
		wrong := someOf(random, keys)
		if len(wrong) == 0 {
			continue
		}
		text := wrongObject(random, nil, wrong)
		text = strings.NewReplacer("1000000000", `"soon"`, `"app":"shopp"`, `"app":5`).Replace(text) // which are right as far as they go
		p := r.wantProblem(r.postBatch("", `{"defaults":`+text+"}\n"), &invalidRequest)
		if got := fieldsOf(p.Errors); !slices.Equal(got, wrong) {
			t.Errorf("%s\nnamed %q, want %q: %v", text, got, wrong, p.Errors)
		}
	}
}

// The cases that were reported, and what is near them.
func TestNothingIsMadeUp(t *testing.T) {
	r := newRig(t, "shop", "bank")
	r.pause()
	for body, want := range map[string][]string{
		`{"to":5,"title":"x","app":"shop"}`:                                                            {"to"},
		`{"badge":"x","title":"x","to":"aa","app":"shop"}`:                                             {"badge"},
		`{"to":"aa","badge":"x","priority":7,"sound":5,"expiration":-3,"title":"x"}`:                   {"app", "badge", "expiration", "priority", "sound"},
		`{"to":"aa","badge":"x","priority":7,"sound":5,"app":"shop"}`:                                  {"badge", "priority", "sound"},
		`{"app":null,"to":"aa","title":"x"}`:                                                           {"app"},
		`{"app":"shop","to":null,"title":null}`:                                                        {"title", "to"},
		`{"app":"shop","to":[7,"aa",null],"title":5}`:                                                  {"title", "to", "to"},
		`{"app":"shop","to":[7],"title":"x"}`:                                                          {"to"},
		`{"app":"shop","to":{"device_token":null,"registered_at":null},"title":"x"}`:                   {"to", "to"},
		`{"app":"shop","to":{"device_token":5},"title":"x"}`:                                           {"to"},
		`{"app":"shop","to":["aa"],"registered_at":"x","title":"x"}`:                                   {"registered_at"},
		`{"app":"shop","to":{"device_token":"aa","registered_at":"9999-01-01T00:00:00Z"},"title":"x"}`: {"to"},
		"{\"title\":\"caf\xe9\",\"to\":\"aa\",\"app\":\"shop\"}":                                       {"title"},
		`{"app":"shop","to":"xyz","title":"x","send_at":` + far + `,"environment":"production"}`:       {"environment", "send_at", "to"},
		`{"app":"shop","to":"aa","title":"x","send_at":` + toJSON(time.Now().Add(time.Hour)) + `,"expiration":` + fmt.Sprint(time.Now().Add(time.Minute).Unix()) + `,"lane":5}`: {"expiration", "lane"},
		`{"app":"shop","app":"bank","app":5,"to":"aa","title":"x","lane":"x"}`:                                                                                                  {"app", "lane"},
		`{"app":"shop","to":"aa","bundle_id":"a b","title":"x"}`:                                                                                                                {"bundle_id"},
		`{"app":"shop","to":"aa","payload":{"aps":{"alert":"\ud83d"}}}`:                                                                                                         {"payload"},
		`{"app":"shop","to":"aa","title":"x","data":{"secret":1e999}}`:                                                                                                          {"data"},
	} {
		p := r.wantProblem(r.do("POST", "/v1/messages", body), &invalidRequest)
		if got := fieldsOf(p.Errors); !slices.Equal(got, want) {
			t.Errorf("%s\nnamed %q, want %q: %v", body, got, want, p.Errors)
		}
		if text := fmt.Sprint(p.Errors); strings.Contains(text, "Title") || strings.Contains(text, "Background") || strings.Contains(text, "secret") {
			t.Errorf("%s: %s", body, text)
		}
	}
	// So many wrong elements do not hide the rest.
	many := r.wantProblem(r.do("POST", "/v1/messages", `{"to":[`+strings.Repeat("7,", 5000)+`7],"title":5,"app":"x"}`), &invalidRequest)
	if got := slices.Compact(fieldsOf(many.Errors)); !slices.Equal(got, []string{"app", "title", "to"}) || len(many.Errors) > 20 {
		t.Errorf("%v", many.Errors)
	}
	// A device token that is no text is refused by itself, as any that cannot be one.
	if receipt := r.post(`{"app":"shop","to":["aa","\ud83d"],"title":"x"}`); receipt.Accepted != 1 || receipt.Refused[0].Index != 1 {
		t.Errorf("%+v", receipt)
	}
}
