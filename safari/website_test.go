package safari

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestWebsiteRoundTrip(t *testing.T) {
	data := must(site().JSON())
	got, err := ParseWebsite(data)
	if err != nil || !reflect.DeepEqual(got, site()) {
		t.Errorf("%s became %+v, %v", data, got, err)
	}
	// All keys, in Apple's spelling, and nothing escaped that need not be.
	var keys map[string]any
	if err := json.Unmarshal(data, &keys); err != nil || len(keys) != 6 || strings.Contains(string(data), `\u`) {
		t.Errorf("%s", data)
	}
	for _, text := range []string{fmt.Sprint(site()), fmt.Sprintf("%v %+v %#v %s", site(), site(), site(), site())} {
		if strings.Contains(text, authenticationToken) {
			t.Errorf("%s", text)
		}
	}
}

func TestWebsiteRules(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Website)
		want   []string
	}{
		"in order":     {func(*Website) {}, nil},
		"empty":        {func(w *Website) { *w = Website{} }, []string{"#websiteName: it is missing", "#websitePushID: ", "#allowedDomains: ", "#urlFormatString: ", "#authenticationToken: ", "#webServiceURL: "}},
		"not UTF-8":    {func(w *Website) { w.WebsiteName = "\xFF" }, []string{"#websiteName: it is not UTF-8"}},
		"prefix":       {func(w *Website) { w.WebsitePushID = "com.example.news" }, []string{"#websitePushID: it does not begin with web."}},
		"prefix only":  {func(w *Website) { w.WebsitePushID = "web." }, []string{"#websitePushID: "}},
		"space":        {func(w *Website) { w.WebsitePushID += " " }, []string{"#websitePushID: "}},
		"15":           {func(w *Website) { w.AuthenticationToken = strings.Repeat("x", 15) }, []string{"it has 15 characters, and at least 16"}},
		"16":           {func(w *Website) { w.AuthenticationToken = strings.Repeat("x", 16) }, nil},
		"line break":   {func(w *Website) { w.AuthenticationToken += "\r\n" }, []string{"cannot be sent"}},
		"umlauts":      {func(w *Website) { w.AuthenticationToken = strings.Repeat("ü", 16) }, []string{"cannot be sent"}},
		"http service": {func(w *Website) { w.WebServiceURL = "http://push.example.com" }, []string{"#webServiceURL: it does not begin with https://"}},
		"slash":        {func(w *Website) { w.WebServiceURL += "/" }, []string{"#webServiceURL: it ends with a slash"}},
		"query":        {func(w *Website) { w.WebServiceURL += "?a=b" }, []string{"#webServiceURL: it has more"}},
		"fragment":     {func(w *Website) { w.WebServiceURL += "#" }, []string{"#webServiceURL: it has more"}},
		"no host":      {func(w *Website) { w.WebServiceURL = "push.example.com" }, []string{"#webServiceURL: it is not a URL"}},
		"not a URL":    {func(w *Website) { w.WebServiceURL = "https://a b" }, []string{"#webServiceURL: it is not a URL"}},
		"domains": {func(w *Website) {
			w.AllowedDomains = []string{"www.example.com", "https://a.example/", "https://*.example", "https://B.example", "https://c.example:443", "http://c.example:80", "ftp://d.example", "https://e.example", "https://e.example", "https://u@f.example", "https://g.example?", "https://bücher.example", "https://h.example:"}
		}, []string{"allowedDomains/0: it is not an origin", "allowedDomains/1: an origin has nothing after the host", "allowedDomains/2: wildcards", "allowedDomains/3: browsers write origins in lower case; write https://b.example",
			"allowedDomains/4: browsers leave the usual port out", "allowedDomains/5: browsers", "allowedDomains/6: it is not", "allowedDomains/8: it is there twice", "allowedDomains/9: an origin", "allowedDomains/10: an origin", "allowedDomains/11: browsers write the hosts", "allowedDomains/12: browsers leave"}},
	} {
		w := site()
		c.change(&w)
		wantProblems(t, name, w.Validate(), c.want...)
		if data, err := w.JSON(); (err == nil) != (c.want == nil) || err == nil != (data != nil) {
			t.Errorf("%s: %s, %v", name, data, err)
		}
	}
}

func TestParseWebsite(t *testing.T) {
	good := string(must(site().JSON()))
	for name, c := range map[string]struct {
		data string
		want []string
	}{
		"in order":             {good, nil},
		"unknown key":          {strings.Replace(good, "{", `{"later":[1,2],`, 1), nil},
		"other letters":        {strings.Replace(good, `"websitePushID"`, `"websitePushId"`, 1), []string{"#websitePushId: there is no such key; write it websitePushID", "#websitePushID: it is missing"}},
		"twice":                {strings.Replace(good, "{", `{"websiteName":"Other",`, 1), []string{"#websiteName: it is there twice"}},
		"number":               {strings.Replace(good, `"Example News"`, `7`, 1), []string{"#websiteName: it is not a string"}},
		"null":                 {strings.Replace(good, `"Example News"`, `null`, 1), []string{"#websiteName: it is not a string"}},
		"no array":             {strings.Replace(good, `["https://www.example.com","http://example.com:8080"]`, `"https://www.example.com"`, 1), []string{"#allowedDomains: it is not an array of strings"}},
		"array":                {"[" + good + "]", []string{"website.json: it is not a JSON object"}},
		"nothing":              {"", []string{"website.json: it is not JSON"}},
		"more":                 {good + "{}", []string{"website.json: something follows"}},
		"key of control twice": {strings.Replace(good, "{", `{"a\n`+strings.Repeat("b", 200)+`":1,"a\n`+strings.Repeat("b", 200)+`":2,`, 1), []string{`#"a\nbbb`}},
		"key of control":       {strings.Replace(good, "{", `{"WEBSITENAME\n":1,"a\u0000":2,`, 1), nil},
	} {
		_, err := ParseWebsite([]byte(c.data))
		wantProblems(t, name, err, c.want...)
	}
	for n := range good {
		if _, err := ParseWebsite([]byte(good[:n])); err == nil {
			t.Fatalf("%d of %d bytes were taken", n, len(good))
		}
	}
}

func TestFormat(t *testing.T) {
	for format, want := range map[string]any{
		"https://example.com/%@/?flight=%@": 2,
		"http://example.com":                0,
		"HTTPS://example.com/%@":            1,
		"https://%@.example.com/":           1,
		"https://example.com/100%%20/%@":    1,
		"https://example.com/%%@":           "no URL",
		"https://example.com/%20/%@":        "byte 21 begins neither",
		"https://example.com/%d":            "begins neither",
		"https://example.com/%1$@":          "begins neither",
		"https://example.com/%":             "begins neither",
		"%@://example.com":                  "does not begin with https://",
		"ftp://example.com/%@":              "does not begin with https://",
		"example.com/%@":                    "does not begin with https://",
		"https://":                          "no URL",
		"https:///path":                     "no URL",
		"https://example.com/a b":           "no URL",
		"https://example.com/%%zz":          "no URL",
	} {
		got, err := Placeholders(format)
		if n, ok := want.(int); ok {
			if err != nil || got != n {
				t.Errorf("%s: %d, %v", format, got, err)
			}
			continue
		}
		wantProblems(t, format, err, want.(string))
		w := site()
		w.URLFormatString = format
		wantProblems(t, format, w.Validate(), want.(string))
	}
}

func TestCheckURLArgs(t *testing.T) {
	format := site().URLFormatString
	for payload, want := range map[string]string{
		`{"aps":{"alert":{"title":"t","body":"b"},"url-args":["boarding","A998"]}}`: "",
		`{"aps":{"url-args":["boarding"]}}`:                                         "/aps/url-args: it has 1 argument, and urlFormatString has 2 placeholders",
		`{"aps":{"url-args":["a","b","c"]}}`:                                        "/aps/url-args: it has 3 arguments",
		`{"aps":{"url-args":[]}}`:                                                   "/aps/url-args: it has 0 arguments",
		`{"aps":{"url-args":["a",7]}}`:                                              "/aps/url-args/1: it is not a string",
		`{"aps":{"url-args":"a"}}`:                                                  "/aps/url-args: it is not an array",
		`{"aps":{"url-args":null}}`:                                                 "/aps/url-args: it is not an array",
		`{"aps":{"alert":"x"}}`:                                                     "/aps/url-args: it is missing",
		`{"aps":{"url-args":[],"url-args":["a","b"]}}`:                              "/aps/url-args: it is there twice",
		`{"url-args":["a","b"]}`:                                                    "/aps: it is missing",
		`{"aps":[]}`:                                                                "/aps/url-args: it is not a JSON object",
		`[]`:                                                                        "/aps: it is not a JSON object",
		``:                                                                          "/aps: it is not JSON",
	} {
		err := CheckURLArgs(format, []byte(payload))
		if want == "" {
			wantProblems(t, payload, err)
			continue
		}
		wantProblems(t, payload, err, want)
	}
	wantProblems(t, "none", CheckURLArgs("https://example.com", []byte(`{"aps":{"url-args":[]}}`)))
	wantProblems(t, "bad format", CheckURLArgs("%", nil), "urlFormatString")
}

func FuzzParseWebsite(f *testing.F) {
	f.Add(must(site().JSON()))
	f.Add([]byte(`{"websiteName":null,"websitename":1,"allowedDomains":[""]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, err := ParseWebsite(data)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("%T", err)
			}
			return
		}
		again, err := ParseWebsite(must(w.JSON()))
		if err != nil || !reflect.DeepEqual(again, w) {
			t.Fatalf("%+v became %+v, %v", w, again, err)
		}
	})
}

func FuzzCheckURLArgs(f *testing.F) {
	f.Add("https://example.com/%@", []byte(`{"aps":{"url-args":["a"]}}`))
	f.Add("https://example.com/%%", []byte(`{"aps":{"url-args":[]}}`))
	f.Fuzz(func(t *testing.T, format string, payload []byte) {
		if CheckURLArgs(format, payload) != nil {
			return
		}
		var p struct {
			APS struct {
				URLArgs []string `json:"url-args"`
			} `json:"aps"`
		}
		n, err := Placeholders(format)
		if err != nil || json.Unmarshal(payload, &p) != nil {
			t.Fatalf("%q and %q: %v", format, payload, err)
		}
		if count := strings.Count(strings.ReplaceAll(format, "%%", ""), "%@"); count != n {
			t.Fatalf("%q has %d placeholders, not %d", format, count, n)
		}
	})
}

// TestHostileWebsite: a package of some KB may hold a website.json of 4 MB.
func TestHostileWebsite(t *testing.T) {
	var domains, same strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&domains, `"http://%d.example",`, i)
		same.WriteString(`"":0,`)
	}
	for name, text := range map[string]string{
		"many domains": `{"allowedDomains":[` + strings.TrimSuffix(domains.String(), ",") + `]}`,
		"bad domains":  `{"allowedDomains":[` + strings.TrimSuffix(strings.Repeat(`"",`, 100_000), ",") + `]}`,
		"many keys":    `{` + strings.TrimSuffix(same.String(), ",") + `}`,
	} {
		_, err := ParseWebsite([]byte(text))
		e, ok := errors.AsType[*Error](err)
		if !ok || len(e.Problems) > maxProblems+1 || len(e.Problems) == 0 {
			t.Errorf("%s: %d problems", name, len(e.Problems))
		}
	}
	members := strings.TrimSuffix(strings.Repeat(`"":0,`, 20_000), ",")
	if err := CheckURLArgs("https://example.com/", []byte(`{`+members+`}`)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Error(err)
	}
}
