package wallet

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
)

// with adds files to a good pass folder.
func with(base string, extra Files) Files {
	files := icons()
	if base != "" {
		files[filePass] = []byte(base)
	}
	for name, data := range extra {
		if data == nil {
			delete(files, name)
		} else {
			files[name] = data
		}
	}
	return files
}

func listed(problems Problems) (list []string) {
	for _, p := range problems {
		list = append(list, p.Severity.String()+" "+p.String())
	}
	return list
}

func TestPassFolders(t *testing.T) {
	personal := []byte(`{"description": "x", "requiredPersonalizationFields": ["PKPassPersonalizationFieldName"]}`)
	logo := picture(150, 40)
	huge := slices.Clone(picture(1, 1))
	binary.BigEndian.PutUint32(huge[16:], 60000) // width, and the checksum is wrong then
	binary.BigEndian.PutUint32(huge[20:], 60000)
	binary.BigEndian.PutUint32(huge[29:], crc32.ChecksumIEEE(huge[12:29]))
	for _, test := range []struct {
		name  string
		files Files
		want  []string // by their beginnings
	}{
		{"good", with(ticket, Files{"logo.png": picture(160, 50), "strip@2x.png": picture(750, 288), "en.lproj/pass.strings": []byte(`"a" = "b";`), fileTooling: []byte("{}")}), nil},
		{"no pass.json", with("", nil), []string{"error pass.json: is missing"}},
		{"broken pass.json", with("{", nil), []string{"error pass.json: not a JSON object: line 1, column 1"}},
		{"twice in pass.json", with(strings.Replace(ticket, `"description"`, `"logoText": "", "logoText": "x", "description"`, 1), nil), []string{"error logoText: the key occurs"}},
		{"no icon", with(ticket, Files{"icon.png": nil, "icon@2x.png": nil, "icon@3x.png": nil}), []string{"error icon.png: is missing"}},
		{"icon only @2x", with(ticket, Files{"icon.png": nil, "icon@3x.png": nil}), []string{"warning icon@3x.png: is missing"}},
		{"icon in a language only", with(ticket, Files{"icon.png": nil, "icon@2x.png": nil, "icon@3x.png": nil, "en.lproj/icon@2x.png": picture(9, 9), "en.lproj/icon@3x.png": picture(9, 9)}), nil},
		{"PDF icon", with(ticket, Files{"icon.png": nil, "icon@2x.png": nil, "icon@3x.png": nil, "icon.pdf": []byte("%PDF-1.7")}), nil},
		{"PDF icon that is none", with(ticket, Files{"icon.png": nil, "icon@2x.png": nil, "icon@3x.png": nil, "icon.pdf": []byte("x")}), []string{"error icon.png: is missing", "warning icon.pdf: is not read"}},
		{"JPEG", with(ticket, Files{"logo.jpg": []byte("\xff\xd8\xff")}), []string{"warning logo.jpg: is not read by Wallet, which reads PNG (save it as PNG and name it logo.png)"}},
		{"JPEG as PNG", with(ticket, Files{"logo.png": []byte("\xff\xd8\xff")}), []string{"error logo.png: is a JPEG with the name of a PNG"}},
		{"empty image", with(ticket, Files{"logo.png": {}}), []string{"error logo.png: is empty"}},
		{"cut off image", with(ticket, Files{"logo.png": picture(99, 9)[:60]}), []string{"error logo.png: is cut off"}},
		{"damaged image", with(ticket, Files{"logo.png": picture(99, 9)[:20]}), []string{"error logo.png: is a damaged PNG"}},
		{"bomb", with(ticket, Files{"logo.png": huge}), []string{"error logo.png: says that it has 60000×60000 pixels"}},
		{"large image", with(ticket, Files{"logo@2x.png": picture(321, 100)}), []string{"warning logo@2x.png: has 321×100 pixels; 320×100 are drawn at most"}},
		{"icon not square", with(ticket, Files{"icon.png": picture(30, 29)}), []string{"warning icon.png: has 30×29 pixels, and icons are square"}},
		{"long thumbnail", with(generic, Files{"thumbnail.png": picture(90, 59)}), []string{"warning thumbnail.png: has 90×59 pixels; the ratio"}},
		{"image in a folder", with(ticket, Files{"images/logo.png": picture(1, 1), "images/icon.png": picture(1, 1)}), []string{"warning images/icon.png: is in a folder where", "warning images/logo.png: is in a folder where"}},
		{"icon in a folder", Files{filePass: []byte(ticket), "images/icon.png": picture(1, 1)}, []string{"error icon.png: is missing", "warning images/icon.png: is in a folder where"}},
		{"unknown scale", with(ticket, Files{"logo@4x.png": picture(1, 1)}), []string{"warning logo@4x.png: has a scale that Wallet does not know"}},
		{"unknown image", with(ticket, Files{"logos.png": picture(1, 1)}), []string{"warning logos.png: is not an image that Wallet knows (did you mean logo?)"}},
		{"foreign image", with(ticket, Files{"xyzzy.png": picture(1, 1)}), []string{"warning xyzzy.png: is not an image that Wallet knows; they are"}},
		{"other style's image", with(ticket, Files{"footer.png": picture(1, 1)}), []string{"warning footer.png: is not drawn on this style, but on boardingPass"}},
		{"strip and background", with(ticket, Files{"strip.png": picture(1, 1), "background.png": picture(1, 1)}), []string{"warning strip.png: stands beside background"}},
		{"poster without artwork", with(poster, nil), []string{"warning artwork.png: is missing; without it posterEventTicket is not used"}},
		{"poster", with(poster, Files{"artwork.png": picture(358, 448), "secondaryLogo.png": picture(135, 12), "venueMap.png": picture(999, 999)}), nil},
		{"unknown file", with(ticket, Files{"Pass.json": []byte("{}")}), []string{"error pass.json: it differs from Pass.json in case only", "warning Pass.json: is not a file that Wallet reads (did you mean pass.json?)"}},
		{"system's files", with(ticket, Files{"en.lproj/.DS_Store": {}}), []string{"error en.lproj/.DS_Store: ", "warning en.lproj/.DS_Store: is not a file"}},
		{"manifest", with(ticket, Files{fileManifest: {}, fileSignature: {}}), []string{"error manifest.json: is made on signing", "error signature: is made", "warning manifest.json", "warning signature"}},

		{"other strings", with(ticket, Files{"en.lproj/Localizable.strings": {}}), []string{"warning en.lproj/Localizable.strings: is not read by Wallet (name it pass.strings"}},
		{"strings outside", with(ticket, Files{"pass.strings": {}}), []string{"warning pass.strings: is not read by Wallet"}},
		{"no language", with(ticket, Files{".lproj/x.txt": {}}), []string{"warning .lproj/x.txt: is in a folder without a language"}},
		{"broken strings", with(ticket, Files{"en.lproj/pass.strings": []byte("\"a\" = \"b\"\n\"c\" = ;\n")}), []string{"error en.lproj/pass.strings: line 1: has no ;", "error en.lproj/pass.strings: line 2: has no value"}},
		{"unequal keys", with(ticket, Files{"en.lproj/pass.strings": []byte(`"a" = "1"; "b" = "2";`), "de.lproj/pass.strings": []byte(`"a" = "1";`), "fr.lproj/pass.strings": nil, "it.lproj/pass.strings": {}}),
			[]string{"warning de.lproj/pass.strings: has no translation of 1 key that en has", "warning it.lproj/pass.strings: has no translation of 2 keys that other languages have"}},
		{"shadowed image", with(ticket, Files{"logo.png": picture(1, 1), "en.lproj/logo.png": picture(1, 1)}), []string{"warning en.lproj/logo.png: is never shown"}},
		{"fewer scales", with(ticket, Files{"en.lproj/logo.png": picture(1, 1), "en.lproj/logo@2x.png": picture(1, 1), "de.lproj/logo.png": picture(1, 1)}), []string{"warning de.lproj/logo.png: has fewer scales"}},

		{"personalization", with(string(change(t, card, "nfc", `{"message": "1", "encryptionPublicKey": "`+uncompressedKey+`"}`, "webServiceURL", `"https://example.com"`, "authenticationToken", `"0123456789abcdef"`)),
			Files{filePersonalization: personal, "personalizationLogo.png": logo}), nil},
		{"personalization alone", with(card, Files{filePersonalization: personal}), []string{
			"error personalization.json: needs a pass with nfc", "error personalization.json: needs a pass with a web service", "warning personalization.json: needs the image personalizationLogo"}},
		{"personalization without pass.json", with("", Files{filePersonalization: personal, "personalizationLogo.png": logo}), []string{"error pass.json: is missing"}},
		{"bad personalization", with("", Files{filePersonalization: []byte(`{"description": "", "requiredPersonalizationFields": ["Name", 1], "x": 1, "x": 2}`), "personalizationLogo.png": logo}), []string{
			"error pass.json: is missing", "error personalization.json: x: the key occurs", "error personalization.json: requiredPersonalizationFields[1]: a number", "error personalization.json: description: is empty", "warning personalization.json: x: is not a key"}},
		{"no personalization field", with("", Files{filePersonalization: []byte(`{"description": "x", "requiredPersonalizationFields": []}`), "personalizationLogo.png": logo}), []string{
			"error pass.json: is missing", "error personalization.json: requiredPersonalizationFields: is empty"}},
		{"unknown personalization field", with("", Files{filePersonalization: []byte(`{"description": "x", "requiredPersonalizationFields": ["Name"]}`), "personalizationLogo.png": logo}), []string{
			"error pass.json: is missing", "error personalization.json: requiredPersonalizationFields[0]: is not a word that Wallet knows (did you mean \"PKPassPersonalizationFieldName\"?)"}},
		{"broken personalization", with("", Files{filePersonalization: []byte(`[`), "personalizationLogo.png": logo}), []string{"error pass.json: is missing", "error personalization.json: not a JSON object"}},
	} {
		got := listed(test.files.Check())
		ok := len(got) == len(test.want)
		for i := 0; ok && i < len(got); i++ {
			ok = strings.HasPrefix(got[i], test.want[i])
		}
		if !ok {
			t.Errorf("%s:\n got %q\nwant %q", test.name, got, test.want)
		}
	}
}

func TestReadFolder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("pass.json", ticket)
	write("en.lproj/pass.strings", "")
	write("en.lproj/.DS_Store", "")
	write("manifest.json", "{}")
	write("signature", "")
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "logo.png")); err != nil {
		t.Fatal(err)
	}
	files, problems, err := ReadFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"en.lproj/pass.strings", "pass.json"}, files.names()); diff != "" {
		t.Error(diff)
	}
	var got []string
	for _, p := range problems {
		got = append(got, p.Severity.String()+" "+p.File)
	}
	if diff := cmp.Diff([]string{"error logo.png", "warning manifest.json", "warning signature", "warning en.lproj/.DS_Store"}, got); diff != "" {
		t.Error(diff)
	}
	if _, _, err := ReadFolder(filepath.Join(dir, "none")); err == nil {
		t.Error("no error")
	}
}

func utf16Of(text string, order binary.AppendByteOrder, mark bool) (data []byte) {
	if mark {
		text = "\ufeff" + text
	}
	for _, unit := range utf16.Encode([]rune(text)) {
		data = order.AppendUint16(data, unit)
	}
	return data
}

func TestParseStrings(t *testing.T) {
	const text = "/* a\n comment */ \"key\" = \"value\";\n// another\n\"q\\\"\\\\\\n\\t\" = \"ü € 😀\\U00e9\\ud83d\\ude00\\101\\'\";\nbare_1 = \"\" ;"
	want := StringsFile{"key": "value", "q\"\\\n\t": "ü € 😀é😀A'", "bare_1": ""}
	for name, data := range map[string][]byte{
		"UTF-8": []byte(text), "UTF-8 with mark": []byte("\ufeff" + text), "CRLF": []byte(strings.ReplaceAll(text, "\n", "\r\n")),
		"UTF-16LE": utf16Of(text, binary.LittleEndian, true), "UTF-16BE": utf16Of(text, binary.BigEndian, true),
		"UTF-16LE without mark": utf16Of(text, binary.LittleEndian, false), "UTF-16BE without mark": utf16Of(text, binary.BigEndian, false),
		"own": want.Format(),
	} {
		got, err := ParseStrings(data)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	if ascii := (StringsFile{"b": "1", "a": "2\r"}).Format(); string(ascii) != "\"a\" = \"2\\r\";\n\"b\" = \"1\";\n" {
		t.Errorf("%q", ascii)
	}
	for text, want := range map[string][]string{
		"\"a\" = \"1\"\n\"b\" = \"2\";":        {"line 1: has no ; at its end"},
		"\"a\" \"1\";\n\"b\" = \"2\";":         {"line 1: has no = after the key"},
		"= \"1\";\n\"b\" = \"2\";":             {"line 1: does not begin with a key"},
		"\"a\" = ;\n\"b\" = \"2\";":            {"line 1: has no value"},
		"\"b\" = \"1\";\n\n\"b\" = \"2\";":     {"line 3: has a key that occurred before"},
		"\"b\" = \"2\"; /* x":                  {"line 1: begins a comment that has no end"},
		"\"b\" = \"2\";\n\"c\" = \"x\ny":       {"line 2: begins a text that has no end", "has no ;"},
		"\"b\" = \"2\";\n\"c\" = \"x\\":        {"line 2: ends with a backslash"},
		"\"b\" = \"2\";\n?":                    {"line 2: does not begin with a key"},
		"\xff\xfea\x00b":                       {"UTF-16 with half a character at its end"},
		"\xff\"b\" = \"2\";":                   {"neither UTF-8 nor UTF-16"},
		"bplist00":                             {"is a property list"},
		"<?xml version=\"1.0\"?>":              {"is a property list"},
		"\"a\" = \"1\";;\"b\" = \"2\";\n{}()x": {"does not begin with a key"},
	} {
		got, err := ParseStrings([]byte(text))
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%q: %v, want %q", text, err, w)
			}
		}
		if strings.Contains(text, "\"b\" = \"2\";") && text[0] != 0xff && got["b"] != "2" {
			t.Errorf("%q: what is right was lost: %v", text, got)
		}
	}
}

func FuzzParseStrings(f *testing.F) {
	f.Add([]byte("\"a\" = \"b\\n\\U00e9\";\n/* c */ d = \"e\";"))
	f.Add([]byte("\xff\xfe\"\x00a\x00"))
	f.Add([]byte("\"a = \"b\\"))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := ParseStrings(data)
		if err != nil {
			return
		}
		again, err := ParseStrings(table.Format())
		if diff := cmp.Diff(table, again); diff != "" || err != nil {
			t.Errorf("%v %s", err, diff)
		}
	})
}

// FuzzCheckFiles checks hostile images and pass.json in one folder.
func FuzzCheckFiles(f *testing.F) {
	f.Add([]byte(poster), picture(3, 4))
	f.Add([]byte(boarding), []byte("\x89PNG\r\n\x1a\n"))
	f.Add([]byte(strange), bytes.Repeat([]byte("x"), 100))
	f.Fuzz(func(t *testing.T, pass, image []byte) {
		problems := Files{filePass: pass, "icon.png": image, "logo@3x.png": image}.Check()
		if diff := cmp.Diff(problems, Files{filePass: pass, "icon.png": image, "logo@3x.png": image}.Check()); diff != "" {
			t.Error(diff)
		}
		for _, p := range problems {
			if p.Message == "" || p.Fix == "" || p.Severity != Error && p.Severity != Warning {
				t.Errorf("%+v", p)
			}
		}
	})
}

// A change message can be a key of the translations, and is looked for in each of them.
func TestChangeMessages(t *testing.T) {
	pass := change(t, card, "storeCard.primaryFields[0].changeMessage", `"POINTS_CHANGED"`)
	with := func(tables ...string) (f Files) {
		f = Files{filePass: pass, "icon.png": picture(29, 29), "icon@2x.png": picture(58, 58), "icon@3x.png": picture(87, 87)}
		for i := 0; i < len(tables); i += 2 {
			f[tables[i]+".lproj/pass.strings"] = []byte(tables[i+1])
		}
		return f
	}
	const good, without = `"POINTS_CHANGED" = "You have %@ points.";`, `"POINTS_CHANGED" = "Your points have changed.";`
	for name, test := range map[string]struct {
		files Files
		want  []string
	}{
		"no key":             {with("en", `"OTHER" = "x";`), []string{"has no %@, without"}},
		"a key":              {with("en", good), nil},
		"in UTF-16":          {with("en", string(StringsFile{"POINTS_CHANGED": "Sie haben %@ Punkte – endlich."}.Format())), nil},
		"one language lacks": {with("en", good, "de", `"OTHER" = "x";`), []string{"has no translation in de.lproj"}},
		"one has no place":   {with("en", good, "de", without, "fr", good), []string{"has no %@ in its translation in de.lproj"}},
	} {
		var got []string
		for _, p := range test.files.Check() {
			if strings.HasSuffix(p.Path, "changeMessage") {
				got = append(got, p.Message)
			}
		}
		if len(got) != len(test.want) || len(got) > 0 && !strings.Contains(got[0], test.want[0]) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// Text in the colour of what is behind it is told, where that can be known.
func TestContrast(t *testing.T) {
	for name, test := range map[string]struct {
		background, foreground, label string
		image                         bool
		want                          int
	}{
		"all white":       {"rgb(255, 255, 255)", "rgb(255, 255, 255)", "#fff", false, 2},
		"nearly":          {"rgb(255, 255, 255)", "rgb(240, 240, 240)", "rgb(0, 0, 0)", false, 1},
		"an image behind": {"rgb(255, 255, 255)", "rgb(255, 255, 255)", "#fff", true, 0},
		"grey on white":   {"rgb(255, 255, 255)", "rgb(0, 0, 0)", "rgb(150, 150, 150)", false, 0},
		"translucent":     {"rgba(255, 255, 255, 0.5)", "rgb(255, 255, 255)", "#fff", false, 0},
	} {
		files := Files{filePass: change(t, card, "backgroundColor", strconv.Quote(test.background), "foregroundColor", strconv.Quote(test.foreground), "labelColor", strconv.Quote(test.label)),
			"icon.png": picture(29, 29), "icon@2x.png": picture(58, 58), "icon@3x.png": picture(87, 87)}
		if test.image {
			files["strip.png"] = picture(375, 144)
		}
		found := 0
		for _, p := range files.Check() {
			if strings.Contains(p.Message, "can hardly be told from backgroundColor") {
				found++
			}
		}
		if found != test.want {
			t.Errorf("%s: %d, want %d", name, found, test.want)
		}
	}
}
