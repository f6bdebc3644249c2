package wallet

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"aviso.example/internal/cmstest"
)

// A package of some KB may hold files of many MB, so nothing may cost far more
// than the bytes that are read.
func TestHostileFilesCostLittle(t *testing.T) {
	const size = 2 << 20
	pass := func(before, part, after string) Files {
		text := `{` + top + `, ` + before + strings.TrimSuffix(strings.Repeat(part+",", size/(len(part)+1)), ",") + after + `}`
		return Files{"pass.json": []byte(text)}
	}
	var distinct strings.Builder
	for i := range size / 10 {
		distinct.WriteString(`"` + strings.Repeat("k", i%3) + string(rune('a'+i%26)) + strings.Repeat("x", i%7) + `":0,`)
	}
	for name, files := range map[string]Files{
		"a list of empty fields":       pass(`"generic": {"backFields": [`, `{}`, `]}`),
		"many lists of empty fields":   pass(`"upcomingPassInformation": [`, `{"backFields":[{},{},{},{}]}`, `]`),
		"a list of other things":       pass(`"locations": [`, `0`, `]`),
		"many codes of newer formats":  pass(`"generic": {}, "barcodes": [`, `{"format":"PKBarcodeFormatCode128","message":"1","messageEncoding":"utf-8"}`, `]`),
		"many keys that nobody knows":  {"pass.json": []byte(`{` + top + `, ` + distinct.String() + `"generic": {}}`)},
		"translations of nothing":      {"en.lproj/pass.strings": bytes.Repeat([]byte(";"), size)},
		"translations without an end":  {"en.lproj/pass.strings": bytes.Repeat([]byte("\"\n"), size/2)},
		"an order of many empty items": {"order.json": []byte(`{"lineItems": [` + strings.TrimSuffix(strings.Repeat("{},", size/3), ",") + `]}`)},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			problems := files.Check()
			runtime.ReadMemStats(&after)
			if len(problems) > 3*maxProblems {
				t.Errorf("%d problems", len(problems))
			}
			if cost := (after.TotalAlloc - before.TotalAlloc) / size; cost > 40 {
				t.Errorf("%d bytes are allocated for each that was read", cost)
			}
			if len(problems.Errors()) == 0 {
				t.Error("nothing is said of it")
			}
		})
	}
}

// TestTemplateKeepsItsOwn: whoever read the files into one buffer uses it again.
func TestTemplateKeepsItsOwn(t *testing.T) {
	files := icons()
	template := must(NewTemplate(signerOf(t, cmstest.Pass(passType)), files))
	for name := range files {
		clear(files[name])
		delete(files, name)
	}
	wantGood(t, must(template.SignJSON([]byte(generic), nil)))
	wantGood(t, must(template.SignJSON([]byte(generic), Files{"thumbnail.png": picture(90, 90)})))
}
