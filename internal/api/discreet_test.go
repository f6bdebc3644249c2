package api

import (
	"strings"
	"testing"
)

const (
	secretToken   = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2"
	secretPayload = "geheim-q7w8e9-aber-ja"
)

// Whatever is wrong, an answer repeats neither device tokens nor payloads, and
// neither does the log.
func TestNothingIsRepeated(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	short := secretToken[:12]
	filled := func(format string) string {
		return strings.NewReplacer("TOKEN", secretToken, "TEXT", secretPayload).Replace(format)
	}
	var answers []answer
	for _, body := range []string{
		`{"to":"TOKENx","title":"TEXT"}`, `{"to":["TOKENx"],"title":"TEXT"}`, `{"to":["TOKEN","TOKENx"],"title":"TEXT","priority":7}`,
		`{"to":{"device_token":"TOKEN","TOKEN":"TEXT"},"title":"TEXT"}`, `{"to":[["TOKEN"]],"title":"TEXT"}`, `{"TOKEN":"TOKEN","title":"TEXT"}`,
		`{"to":"TOKEN","title":"TEXT","app":"TOKEN"}`, `{"to":"TOKEN","title":"TEXT","lane":"TOKEN","environment":"TOKEN","on_unknown":"TOKEN"}`,
		`{"to":"TOKEN","title":"TEXT","send_at":"TOKEN","registered_at":"TOKEN"}`, `{"to":"TOKEN","title":"TEXT","push_type":"TOKEN"}`,
		`{"to":"TOKEN","title":"TEXT","id":"TOKEN"}`, `{"to":"TOKEN","title":"TEXT","expiration":"TOKEN"}`, `{"to":"TOKEN","title":"TEXT","interruption_level":"TOKEN"}`,
		`{"to":"TOKEN","title":"TEXT","badge":"TOKEN"}`, `{"to":"TOKEN","data":{"TEXT":1,"TEXT":"TOKEN"},"title":"TEXT"}`, `{"to":"TOKEN","payload":"TEXT"}`,
		`{"to":"TOKEN","payload":{"aps":{"alert":"TEXT"}},"title":"TEXT"}`, `{"to":"TOKEN","title":"TEXT","topic":"TOKEN.voip"}`, `{"to":"TOKEN","title":"TEXT"`,
		`{"to":"TOKEN","title":"TEXT","collapse_id":"TOKENTOKEN"}`, `TOKEN TEXT`, `"TEXT"`, `{"to":"TOKEN" "title":"TEXT"}`,
	} {
		answers = append(answers, r.do("POST", "/v1/messages", filled(body)))
		answers = append(answers, r.postBatch("", filled(body)+"\n"+filled(`{"to":"TOKENx","title":"TEXT"}`)))
		answers = append(answers, r.postBatch("", filled(`{"defaults":`+body+`}`)))
		answers = append(answers, r.do("POST", "/v1/apps/shop:pause", filled(body)))
	}
	for _, path := range []string{
		"/v1/deliveries?device_token=TOKENx", "/v1/deliveries?TOKEN=1", "/v1/deliveries/TOKEN", "/v1/messages/TOKEN", "/v1/batches/TOKEN", "/v1/apps/TOKEN",
		"/v1/deliveries?state=TOKEN&batch=TOKEN&cursor=TOKEN&limit=TOKEN&after=TOKEN&app=TOKEN&reason=TOKEN", "/TOKEN", "/v1/dead-tokens?after=TOKEN", "/v1/problems/TOKEN",
	} {
		answers = append(answers, r.do("GET", filled(path), ""))
	}
	answers = append(answers, r.postBatch(filled("?lane=TOKEN&TOKEN=1&label="+strings.Repeat("TOKEN", 4)), "{}"), r.do("GET", "/v1/apps", "", "Authorization", "Bearer "+secretToken))
	failed := 0
	for _, a := range answers {
		if a.StatusCode >= 400 {
			failed++
		}
		if strings.Contains(a.text, short) || strings.Contains(a.text, secretPayload) {
			t.Errorf("%s %s: %s", a.Request.Method, a.Request.URL.Path, a.text)
		}
	}
	if failed < len(answers)/2 {
		t.Errorf("only %d of %d failed", failed, len(answers))
	}
	if log := r.log.String(); strings.Contains(log, short) || strings.Contains(log, secretPayload) || strings.Contains(log, r.key[6:20]) {
		t.Error(log)
	}
}
