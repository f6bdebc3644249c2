package broadcast

import (
	"testing"

	"aviso.example/apns"
)

// FuzzAnswers feeds what the management host may answer: whatever it is, there is
// a channel or a list, or an error.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"message-storage-policy":1,"push-type":"LiveActivity"}`, `{"channels":["QUJD"]}`, `{"channels":[]}`,
		`{"channels":null}`, `{"message-storage-policy":"1"}`, `{`, ``, `null`, `{"channels":["` + "\xff" + `"]}`,
	} {
		f.Add([]byte(seed))
	}
	m := &Manager{client: &apns.Client{}, bundleID: "com.example.app"}
	f.Fuzz(func(t *testing.T, body []byte) {
		ch, err := m.parseChannel("QUJD", apns.Answer{Status: 200, Body: body})
		if err == nil && (ch.ID != "QUJD" || ch.BundleID != m.bundleID) {
			t.Fatalf("%q: %+v", body, ch)
		}
		list, err := m.parseList(apns.Answer{Status: 200, Body: body})
		if (list == nil) != (err != nil) {
			t.Fatalf("%q: %v %v", body, list, err)
		}
	})
}
