package message

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// wrongValues are values that a key cannot have, whatever else there is.
var wrongValues = map[string][]string{
	"to":                 {`5`, `true`, `["aa"]`, `{}`, `"\ud83d"`, `"xyz"`, `"abc"`},
	"payload":            {`5`, `"{}"`, `[]`, `false`, `{"aps":{"alert":"\ude00"}}`, `{"\udc00":1}`},
	"title":              {`5`, `[]`, `{}`, `true`, `"\ud83d"`, `"\ud83d\ud83d\ude00"`, `"\ude00\ud83d"`, "\"\xff\"", "\"caf\xe9\""},
	"subtitle":           {`5`, `[]`, `{}`, `false`, `"a\uDBFFb"`, "\"\xed\xa0\xbd\""},
	"body":               {`-1`, `[""]`, `"\ud83dx"`, "\"\xc3\""},
	"badge":              {`-1`, `1.5`, `"7"`, `true`, `[]`, `{}`, `"x"`, `1e400`},
	"sound":              {`1`, `{"name":"x"}`, `"\udfff"`},
	"category":           {`1`, `[]`, `"\ud800"`},
	"thread_id":          {`1`, `{}`, `"\udc00"`},
	"interruption_level": {`1`, `"loud"`, `[]`},
	"mutable_content":    {`1`, `"true"`, `[]`},
	"content_available":  {`1`, `"yes"`, `{}`},
	"data":               {`5`, `[]`, `"{}"`, `{"aps":1}`, `{"a":1,"a":2}`, `{"a":["\ud83d"]}`, "{\"a\":\"\xff\"}"},
	"topic":              {`5`, `[]`, `"a b"`, `"com"`, `"<topic>"`},
	"push_type":          {`5`, `"silent"`, `"Alert"`, `[]`},
	"priority":           {`7`, `"10"`, `1e1`, `[]`, `true`},
	"expiration":         {`-3`, `3600`, `1.5`, `"soon"`, `[]`, `1000000000`},
	"collapse_id":        {`5`, `[]`, `"` + strings.Repeat("x", 65) + `"`, `" x"`},
	"id":                 {`5`, `"1"`, `{}`},
}

// rightValues belong to one alert, in which any of them can be wrong.
var rightValues = map[string]string{
	"to": `"aa"`, "title": `"T"`, "subtitle": `"S"`, "body": `"B"`, "badge": `1`, "sound": `"x"`, "category": `"C"`, "thread_id": `"D"`,
	"interruption_level": `"active"`, "mutable_content": `true`, "content_available": `true`, "data": `{"k":1}`, "topic": `"a.b"`, "push_type": `"alert"`,
	"priority": `5`, "expiration": `"1h"`, "collapse_id": `"c"`, "id": `"0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7f"`,
}

// wrongFields are the fields of all problems that a text has.
func wrongFields(t *testing.T, text string) (fields []string, all string) {
	t.Helper()
	var p Parser
	var m Message
	err := p.Read(&m, []byte(text))
	if Malformed(err) {
		t.Fatalf("%s is called malformed: %v", text, err)
	}
	problems := append(ProblemsOf(err), ProblemsOf(p.Merge(&m))...)
	problems = append(problems, m.More("app.unknown", time.Now(), KeyName)...)
	for _, problem := range problems {
		fields = append(fields, problem.Field)
	}
	slices.Sort(fields)
	return fields, fmt.Sprint(Invalid(problems...))
}

func object(keys []string, values map[string]string) string {
	list := make([]string, len(keys))
	for i, key := range keys {
		list[i] = fmt.Sprintf("%q:%s", key, values[key])
	}
	return "{" + strings.Join(list, ",") + "}"
}

// Each wrong value is named, alone and first or last of many.
func TestEachWrongValue(t *testing.T) {
	for key, list := range wrongValues {
		for _, value := range append(list, `null`) {
			for _, around := range []string{`{"to":"aa","title":"T",%s}`, `{%s,"to":"aa","title":"T"}`} {
				if key == "to" || key == "title" || key == "payload" {
					around = strings.NewReplacer(`"to":"aa"`, `"body":"B"`, `"title":"T"`, `"id":"0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7f"`).Replace(around)
				}
				if key == "payload" {
					around = `{"to":"aa",%s}`
				}
				text := fmt.Sprintf(around, fmt.Sprintf("%q:%s", key, value))
				if fields, all := wrongFields(t, text); !slices.Equal(fields, []string{key}) {
					t.Errorf("%s: %s", text, all)
				}
			}
		}
	}
}

// Of a message with wrong values exactly these are named, whatever the order.
func TestWrongValuesHideNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		values := map[string]string{}
		var keys, want []string
		for key, right := range rightValues {
			switch random.IntN(4) {
			case 0:
				list := append(wrongValues[key], `null`)
				values[key] = list[random.IntN(len(list))]
				want = append(want, key)
			case 1:
				if key != "to" && key != "title" {
					continue
				}
				fallthrough
			default:
				values[key] = right
			}
			keys = append(keys, key)
		}
		random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		slices.Sort(want)
		text := object(keys, values)
		if fields, all := wrongFields(t, text); !slices.Equal(fields, want) {
			t.Fatalf("%s\nnamed %q, want %q: %s", text, fields, want, all)
		}
	}
}

// What depends on a wrong part is not made up, and what is wrong in any case is.
func TestWhatFollowsFromWrongValues(t *testing.T) {
	for text, want := range map[string][]string{
		`{"to":"aa","push_type":"x","data":{"k":1}}`:                         {"push_type"}, // background and the like have no alert
		`{"to":"aa","push_type":"x","priority":10,"title":"T"}`:              {"push_type"},
		`{"to":"aa","push_type":"x","priority":7,"topic":"a b","title":"T"}`: {"priority", "push_type", "topic"},
		`{"to":"aa","push_type":"x","topic":"a.b.voip","data":{"k":1}}`:      {"push_type"},
		`{"to":"aa","push_type":"mdm","topic":5,"payload":{"mdm":"x"}}`:      {"topic"},
		`{"to":"aa","topic":5}`:                                                  {"topic"}, // of a pass, there is nothing to say
		`{"to":"aa","bundle_id":"a b","title":"T"}`:                              {"bundle_id"},
		`{"to":"aa","bundle_id":5,"topic":6,"title":"T"}`:                        {"bundle_id", "topic", "topic"}, // they exclude each other
		`{"to":"aa","badge":"x"}`:                                                {"badge"},
		`{"to":"aa","title":null,"mutable_content":true}`:                        {"title"},
		`{"to":"aa","interruption_level":"passiv","sound":"x","title":"T"}`:      {"interruption_level"},
		`{"to":"aa","interruption_level":"passive","sound":5,"title":"T"}`:       {"sound"},
		`{"to":"aa","interruption_level":"passive","sound":"x","badge":-1}`:      {"badge", "sound"},
		`{"to":"aa","payload":null,"push_type":"liveactivity"}`:                  {"payload"},
		`{"to":"aa","payload":5,"push_type":"liveactivity"}`:                     {"payload"},
		`{"to":"aa","payload":5,"title":"T"}`:                                    {"payload", "payload"}, // and they exclude each other
		`{"to":"aa","payload":null,"title":"T"}`:                                 {"payload"},
		`{"to":"aa","title":"T","title":5,"title":6,"badge":"x"}`:                {"badge", "title"},
		`{"to":"aa","titel":"T","boddy":1,"priority":7}`:                         {"", "boddy", "priority", "titel"}, // and nothing to send
		`{"to":"aa","title":"T","data":{"k":1e999}}`:                             {"data"},
		`{"to":"aa","title":5,"push_type":"voip","data":{"k":1}}`:                {"", "title"}, // whatever the title, a call has none
		`{"badge":"x","priority":7,"sound":5,"expiration":-3,"title":"x"}`:       {"badge", "expiration", "priority", "sound"},
		`{"priority":"10","title":"x"}`:                                          {"priority"},
		`{"to":"aa","content_available":"x"}`:                                    {"content_available"},
		`{"to":"aa","collapse_id":"` + strings.Repeat("x", 65) + `","title":5}`:  {"collapse_id", "title"},
		`{"to":"aa","payload":{"a":"` + strings.Repeat("x", 6000) + `"},"id":5}`: {"id", "payload"},
	} {
		if fields, all := wrongFields(t, text); !slices.Equal(fields, want) {
			t.Errorf("%.90s: %q, want %q: %s", text, fields, want, all)
		}
	}
}

// A message of which no value is right is told of each of them.
func TestManyUnknownKeysHideNoKnownOne(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"to":"aa"`)
	for i := range 1000 {
		fmt.Fprintf(&b, `,"zebra%d":1`, i)
	}
	b.WriteString(strings.Repeat(`,"badge":"x"`, 1000) + `,"title":5}`)
	fields, _ := wrongFields(t, b.String())
	if !slices.Contains(fields, "title") || !slices.Contains(fields, "badge") || len(fields) > maxProblems {
		t.Errorf("%d problems: %.200q", len(fields), fields)
	}
}

func TestWordsOfFlaws(t *testing.T) {
	for text, want := range map[string]string{
		`{"to":"aa","title":"cut \ud83d"}`:   `"title" has half of a surrogate pair`,
		"{\"to\":\"aa\",\"title\":\"\xe9\"}": `"title" has bytes that are not UTF-8`,
		"{\"to\":\"aa\",\"title\":\xe9}":     "a byte that is not UTF-8 where a value should be",
		`{"to":"aa","tittle":null}`:          `unknown key "tittle"; did you mean "title"?`,
	} {
		var p Parser
		if err := p.Read(new(Message), []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// What reads a value and refuses it leaves the rest to be read.
func TestKeyRefuses(t *testing.T) {
	for name, read := range map[string]func(s *Scan) error{
		"nothing": func(*Scan) error { return nil },
		"some":    func(s *Scan) error { return s.Elements(func() error { return errors.New("no") }) },
		"all":     func(s *Scan) error { _, err := s.Value(); return err },
	} {
		p := Parser{Key: func(key string, _ Field, s *Scan) (bool, error) {
			if key != "own" {
				return false, nil
			}
			if err := read(s); err != nil {
				return true, err
			}
			return true, Problem{Field: "own", Text: "is not wanted"}
		}}
		var m Message
		err := p.Read(&m, []byte(`{"own":[1,[2,{"a":3}]],"title":"T","badge":"x"}`))
		if problems := ProblemsOf(err); m.Title != "T" || len(problems) != 2 || problems[1].Field != "badge" || Malformed(err) {
			t.Errorf("%s: %v, title %q", name, err, m.Title)
		}
	}
}
