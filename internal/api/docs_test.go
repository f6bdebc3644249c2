package api

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// curl is a command of docs/api.md.
type curl struct {
	text   string
	ndjson string // the batch that was shown before it
}

// curlCommands finds the commands of a page, in its blocks of sh.
func curlCommands(t *testing.T, page string) (list []curl) {
	t.Helper()
	batch := ""
	for _, block := range regexp.MustCompile("(?s)```(\\w+)\n(.*?)```").FindAllStringSubmatch(page, -1) {
		switch block[1] {
		case "ndjson":
			batch = block[2]
		case "sh":
			for line := range strings.Lines(strings.ReplaceAll(block[2], "\\\n", " ")) {
				if strings.Contains(line, "curl ") {
					list = append(list, curl{strings.TrimSpace(line), batch})
				}
			}
		}
	}
	return list
}

// request makes the request of a command. The ids of its answer are for those
// that follow.
func (c *curl) request(t *testing.T, variables map[string]string) (*http.Request, func(answer)) {
	t.Helper()
	_, args, _ := strings.Cut(c.text, "curl ")
	var method, url, body string
	header := http.Header{}
	words := shellWords(os.Expand(args, func(name string) string {
		if variables[name] == "" {
			t.Fatalf("%s: nothing has set %s", c.text, name)
		}
		return variables[name]
	}))
	for i := 0; i < len(words); i++ {
		next := func() string { i++; return words[i] }
		switch w := words[i]; w {
		case "-X":
			method = next()
		case "-H":
			name, value, _ := strings.Cut(next(), ": ")
			header.Add(name, value)
		case "-d":
			body = next()
		case "-T":
			next()
			body = c.ndjson
		default:
			if strings.HasPrefix(w, "-") || url != "" {
				t.Fatalf("%s: what is %q?", c.text, w)
			}
			url = w
		}
	}
	if strings.HasPrefix(c.text, "gzip ") {
		body = zip(body)
	}
	if method == "" {
		method = "GET"
		if body != "" {
			method = "POST"
		}
	}
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	return req, func(a answer) {
		var ids struct {
			ID         string
			Deliveries []any
		}
		json.Unmarshal([]byte(a.text), &ids)
		switch {
		case strings.HasPrefix(ids.ID, "msg_"):
			variables["MESSAGE"] = ids.ID
			if len(ids.Deliveries) > 0 {
				variables["DELIVERY"] = ids.Deliveries[0].(string)
			}
		case strings.HasPrefix(ids.ID, "bat_"):
			variables["BATCH"] = ids.ID
		}
	}
}

// shellWords splits a line as a shell does, as far as the page needs it.
func shellWords(line string) (words []string) {
	for _, m := range regexp.MustCompile(`'([^']*)'|"([^"]*)"|(\S+)`).FindAllStringSubmatch(line, -1) {
		words = append(words, m[1]+m[2]+m[3])
	}
	return words
}
