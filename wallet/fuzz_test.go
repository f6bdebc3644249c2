package wallet

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"aviso.example/internal/cmstest"
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

// FuzzScan holds our walk over JSON against that of encoding/json.
func FuzzScan(f *testing.F) {
	f.Add([]byte(strange))
	f.Add([]byte(` { "a\\\"}" : [ 1 , -2.5e3,"]",{ } , [ ],null ] , "b":{"c" :true}, "":"" } `))
	f.Fuzz(func(t *testing.T, data []byte) {
		data = bytes.TrimSpace(data)
		if !json.Valid(data) {
			return
		}
		var got []string
		switch data[0] {
		case '{':
			eachMember(data, func(key, value json.RawMessage) { got = append(got, string(key), string(value)) })
		case '[':
			eachElement(data, func(value json.RawMessage) { got = append(got, string(value)) })
		default:
			if n := skipValue(data, 0); n != len(data) {
				t.Errorf("%q ends after %d bytes", data, n)
			}
			return
		}
		in := json.NewDecoder(bytes.NewReader(data))
		_, _ = in.Token()
		var want []string
		for in.More() {
			var value json.RawMessage
			if data[0] == '{' && len(want)%2 == 0 {
				key, _ := in.Token()
				raw := bytes.TrimSpace(data[:in.InputOffset()])
				want = append(want, key.(string))
				if text, err := unquote(json.RawMessage(got[len(want)-1])); err != nil || text != key || !bytes.HasSuffix(raw, []byte(got[len(want)-1])) {
					t.Fatalf("key %q, want %q", got[len(want)-1], key)
				}
				got[len(want)-1] = key.(string)
			}
			if err := in.Decode(&value); err != nil {
				t.Fatal(err)
			}
			want = append(want, string(bytes.TrimSpace(value)))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// FuzzParseOrder is the same for orders, and checks them as well.
func FuzzParseOrder(f *testing.F) {
	f.Add([]byte(purchase))
	f.Add([]byte(`{"lineItems":[{"quantity":1e0,"price":{"amount":12.5}}],"merchant":null,"payment":{"x":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		problems := CheckOrder(data)
		order, _ := ParseOrder(data)
		if order == nil {
			if problems.Err() == nil {
				t.Error("no JSON object, and no error")
			}
			return
		}
		again, err := order.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if strings.Contains(p.Message, "occurs more than once") {
				return
			}
		}
		if diff := cmp.Diff(tree(t, data), tree(t, again)); diff != "" {
			t.Errorf("%s\n%s\n%s", diff, data, again)
		}
	})
}

// FuzzOpen opens and verifies anything. What is found in order has to be signed
// by the test authority, file by file.
func FuzzOpen(f *testing.F) {
	files := signedFiles(f, cmstest.Pass(passType))
	f.Add(zipped(files))
	f.Add(zipped(Files{filePass: []byte("{}"), fileManifest: []byte("{}"), fileSignature: []byte("0")}))
	f.Add(zipped(Files{"1.pkpass": zipped(files)}))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _, _ = ReadPasses(bytes.NewReader(data), int64(len(data)))
		p, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		v := p.Verify(trusted())
		if v.Problems.Err() == nil && (v.Trust != Trusted || p.Pass == nil && p.Order == nil || !bytes.Equal(p.Files[fileManifest], files[fileManifest])) {
			t.Errorf("%v is said to be in order", p.Files.names())
		}
		for _, problem := range v.Problems {
			if problem.Message == "" || problem.Severity != Error && problem.Severity != Warning {
				t.Errorf("%+v", problem)
			}
		}
	})
}
