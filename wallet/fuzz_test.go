package wallet

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzParsePass reads anything, writes what was read, and looks whether
// something was lost.
func FuzzParsePass(f *testing.F) {
	f.Add([]byte(strange))
	f.Add([]byte(`{"generic":{"backFields":[{"key":"k","value":1e400}]},"a":{"b":null}}`))
	f.Add([]byte(`{"userInfo":[1,{"x":"\ud800"}],"voided":true,"voided":false}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		pass, err := ParsePass(data)
		if pass == nil {
			return
		}
		again, encodeErr := pass.MarshalJSON()
		if encodeErr != nil {
			t.Fatal(encodeErr)
		}
		if _, ok := errors.AsType[*InvalidError](err); ok && strings.Contains(err.Error(), "occurs more than once") {
			return // one of two was lost, and it was said
		}
		if diff := cmp.Diff(tree(t, data), tree(t, again)); diff != "" {
			t.Errorf("%s\n%s\n%s", diff, data, again)
		}
	})
}
