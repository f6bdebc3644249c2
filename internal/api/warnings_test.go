package api

import (
	"slices"
	"strings"
	"testing"

	"aviso.example/internal/await"
	"aviso.example/sim"
)

// What is accepted and looks like a mistake is told with the answer, and sent as it is.
func TestWarnings(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const wakes = `{"aps":{"content-available":1}}`
	to := `"to":"` + r.apple.DeviceToken + `",`
	for body, codes := range map[string]string{
		`"title":"x"`: "",
		`"payload":{"aps":{"content-available":1}}`:                       "",
		`"payload":{"aps":{"alert":"x","badge":"5"}}`:                     "numeric-string",
		`"payload":{"aps":{"alert":{}}}`:                                  "nothing-to-present",
		`"payload":{"aps":{"alert":"x"},"aps":{"alert":"y"}}`:             "duplicate-key",
		`"payload":{"alert":"x"}`:                                         "aps-missing aps-key-outside",
		`"payload":{"aps":{"alert":"x"}},"push_type":"background"`:        "background-alert background-content-available",
		`"payload":{"aps":{"alert":"x","interruption-level":"critical"}}`: "",
	} {
		receipt := r.post("{" + to + body + "}")
		var found []string
		for _, w := range receipt.Warnings {
			found = append(found, w.Code)
			if w.Message == "" || w.Fix == "" || w.Severity == "" || w.Line != 0 {
				t.Errorf("%+v", w)
			}
		}
		for _, code := range strings.Fields(codes) {
			if !strings.Contains(strings.Join(found, " "), code) {
				t.Errorf("%s: %q, want %q", body, found, codes)
			}
		}
		if codes == "" && found != nil {
			t.Errorf("%s: %q", body, found)
		}
	}
	await.Until(t, "the one that only wakes the app", func() bool {
		return slices.ContainsFunc(r.apple.Pushes(sim.Filter{}), func(p sim.Push) bool {
			return p.PushType == "background" && p.Priority == 5 && p.Payload.String() == wakes
		})
	})
	// What editors put before a body is no part of it.
	r.post("\xef\xbb\xbf{" + to + `"title":"x"}`)
	// A batch has each kind once, with its first line.
	var receipt BatchReceipt
	r.want(r.postBatch("?app=shop", `{"defaults":{"title":"x"}}
{`+to+`"body":"y"}
{`+to+`"payload":{"aps":{"alert":"x","badge":"5"}}}
{`+to+`"payload":{"aps":{"alert":"x","badge":"6"}}}
{`+to+`"payload":{"aps":{"alert":"x","sound":7}}}
`), 202, &receipt)
	if w := receipt.Warnings; len(w) != 2 || w[0].Line != 3 || w[0].Code != "numeric-string" || w[0].Path != "/aps/badge" || w[1].Line != 5 {
		t.Errorf("%+v", receipt)
	}
}
