package bundle

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// sign is a stand-in: what it returns shows what it was given.
func sign(manifest []byte) ([]byte, error) { return append([]byte("signed: "), manifest...), nil }

func pass(label string) File {
	return File{"pass.json", []byte(`{"description":"` + strings.Repeat(label, 100) + `"}`)}
}

var (
	icon    = File{"icon.png", append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 500)...)}
	strfile = File{"en.lproj/pass.strings", bytes.Repeat([]byte(`"key" = "value";`+"\n"), 50)}
)

// packed makes a package, and gives it back in both forms.
func packed(t testing.TB, config Config, files ...File) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := must(NewTemplate(config)).Pack(&out, sign, files...); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestStrangerReadsIt opens what we write with archive/zip.
func TestStrangerReadsIt(t *testing.T) {
	template := must(NewTemplate(Config{Digest: SHA1, Modified: time.Date(2026, 3, 1, 12, 30, 10, 0, time.UTC)}, icon, strfile))
	var out bytes.Buffer
	unusual := File{"ü\"<&>.lproj/x", []byte("umlaut")}
	if err := template.Pack(&out, sign, pass("a"), unusual); err != nil {
		t.Fatal(err)
	}
	z := must(zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len())))
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
		if f.Modified.UTC().Format(time.DateTime) != "2026-03-01 12:30:10" || f.Mode() != 0o644 || f.NonUTF8 {
			t.Errorf("%s: %v %v, not UTF-8: %v", f.Name, f.Modified, f.Mode(), f.NonUTF8)
		}
		content := must(io.ReadAll(must(f.Open())))
		switch f.Name {
		case "icon.png":
			if f.Method != zip.Store || !bytes.Equal(content, icon.Data) {
				t.Error("the image was compressed again, or changed")
			}
		case "pass.json":
			if f.Method != zip.Deflate || !bytes.Equal(content, pass("a").Data) {
				t.Error("pass.json was not compressed, or changed")
			}
		case "manifest.json":
			if !strings.HasPrefix(string(content), `{"en.lproj/pass.strings":"`) || strings.Count(string(content), ":") != 4 {
				t.Errorf("%s", content)
			}
		case "signature":
			if !strings.HasPrefix(string(content), `signed: {"en.lproj/`) {
				t.Errorf("%s", content)
			}
		}
	}
	if got := strings.Join(names, " "); got != `en.lproj/pass.strings icon.png pass.json ü"<&>.lproj/x manifest.json signature` {
		t.Error(got)
	}
	again := must(ReadZip(bytes.NewReader(out.Bytes()), int64(out.Len()), Limits{}))
	if _, err := again.CheckManifest(SHA1); err != nil {
		t.Error(err)
	}
}

// TestManifestForms has hashes that sha1sum, sha256sum and sha512sum printed.
func TestManifestForms(t *testing.T) {
	for digest, want := range map[Digest]string{
		SHA1:   `{"a":"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8","b/c":"da39a3ee5e6b4b0d3255bfef95601890afd80709"}`,
		SHA256: `{"a":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","b/c":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}`,
		SHA512Object: `{"a":{"hashType":"sha512","hashValue":"1f40fc92da241694750979ee6cf582f2d5d7d28e18335de05abc54d0560e0f5302860c652bf08d560252aa5e74210546f369fbbbce8c12cfc7957b2652fe9a75"},` +
			`"b/c":{"hashType":"sha512","hashValue":"cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"}}`,
	} {
		zipped := packed(t, Config{Digest: digest}, File{"b/c", nil}, File{"a", []byte("a")})
		p := must(ReadZip(bytes.NewReader(zipped), int64(len(zipped)), Limits{}))
		if got, _ := p.Get("manifest.json"); string(got) != want {
			t.Errorf("%v: %s", digest, got)
		}
		if got, err := p.CheckManifest(SHA1, SHA256, SHA512Object); got != digest || err != nil {
			t.Errorf("%v taken for %v: %v", digest, got, err)
		}
	}
}

func TestSameBytes(t *testing.T) {
	one := packed(t, Config{}, icon, strfile, pass("a"))
	if !bytes.Equal(one, packed(t, Config{}, pass("a"), strfile, icon)) {
		t.Error("the order of the files changes the bytes")
	}
	if bytes.Equal(one, packed(t, Config{Modified: time.Now()}, icon, strfile, pass("a"))) {
		t.Error("the time is not in it")
	}
	template := must(must(NewTemplate(Config{}, icon, pass("b"))).With(pass("c")))
	var wg sync.WaitGroup
	outs := make([]bytes.Buffer, 8)
	for i := range outs {
		wg.Go(func() {
			if err := template.Pack(&outs[i], sign, strfile, pass(fmt.Sprint(i/4))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if !bytes.Equal(outs[0].Bytes(), outs[3].Bytes()) || bytes.Equal(outs[0].Bytes(), outs[4].Bytes()) {
		t.Error("packages from one template mix")
	}
}

func TestNamesRefused(t *testing.T) {
	bad := map[string]string{
		"":                       "no name",
		"/etc/passwd":            "absolute",
		`C:x`:                    "absolute",
		"../x":                   "out of the package",
		"a/../../x":              "out of the package",
		"a//b":                   "empty folder",
		"./a":                    "empty folder",
		"a/":                     "empty folder",
		`a\b`:                    "backslash",
		"a\nb":                   "control",
		"\xFF":                   "UTF-8",
		".DS_Store":              "left behind",
		"en.lproj/.DS_Store":     "left behind",
		"__MACOSX/._icon.png":    "left behind",
		"Thumbs.db":              "left behind",
		strings.Repeat("x", 256): "256 bytes",
	}
	for name, want := range bad {
		_, err := NewTemplate(Config{}, File{name, nil})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q makes a line of its own: %q", name, err)
		}
	}
	var all []File
	for name := range bad {
		all = append(all, File{name, nil})
	}
	all = append(all, File{"p", nil}, File{"P", nil}, File{"q", nil}, File{"q", nil}, File{"r", nil}, File{"r/s", nil}, File{"manifest.json", nil})
	_, err := NewTemplate(Config{}, all...)
	problems, ok := errors.AsType[*Error](err)
	if !ok || len(problems.Problems) != len(bad)+4 {
		t.Errorf("%v", err)
	}
	template := must(NewTemplate(Config{}, File{"Icon.png", nil}))
	for _, file := range []File{{"icon.PNG", nil}, {"Icon.png/x", nil}, {"signature", nil}} {
		var out bytes.Buffer
		if err := template.Pack(&out, sign, file); err == nil || out.Len() > 0 {
			t.Errorf("%s beside Icon.png: %v", file.Name, err)
		}
	}
	many := make([]File, 999)
	for i := range many {
		many[i].Name = fmt.Sprint(i)
	}
	if _, err := NewTemplate(Config{}, many...); err == nil || !strings.Contains(err.Error(), "998 are possible") {
		t.Error(err)
	}
}

type full struct{ left int }

var errFull = errors.New("no space left")

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestPackFails(t *testing.T) {
	template := must(NewTemplate(Config{}, icon))
	noKey := errors.New("no key")
	var out bytes.Buffer
	if err := template.Pack(&out, func([]byte) ([]byte, error) { return nil, noKey }, pass("a")); !errors.Is(err, noKey) || out.Len() > 0 {
		t.Errorf("%v, %d bytes written", err, out.Len())
	}
	if err := template.Pack(&out, sign, pass("a")); err != nil {
		t.Fatal(err)
	}
	for n := range out.Len() {
		if err := template.Pack(&full{n}, sign, pass("a")); !errors.Is(err, errFull) {
			t.Fatalf("%d bytes of space: %v", n, err)
		}
	}
}

func TestZip(t *testing.T) {
	inner := packed(t, Config{}, icon, pass("a"))
	var out bytes.Buffer
	if err := Zip(&out, time.Time{}, File{"2.pkpass", inner}, File{"1.pkpass", inner}); err != nil {
		t.Fatal(err)
	}
	z := must(zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len())))
	if len(z.File) != 2 || z.File[0].Name != "2.pkpass" || z.File[0].Method != zip.Store || z.File[0].Modified.Year() != 1980 {
		t.Errorf("%+v", z.File[0].FileHeader)
	}
	if err := Zip(&out, time.Time{}, File{"a", nil}, File{"A", nil}); err == nil {
		t.Error("names that clash were taken")
	}
}

func TestDOSTime(t *testing.T) {
	for at, want := range map[time.Time][2]uint16{
		{}: {0x0021, 0},
		time.Date(1979, 12, 31, 23, 59, 59, 0, time.UTC):                               {0x0021, 0},
		time.Date(2026, 3, 1, 12, 30, 11, 0, time.UTC):                                 {46<<9 | 3<<5 | 1, 12<<11 | 30<<5 | 5},
		time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC):                                    {127<<9 | 12<<5 | 31, 23<<11 | 59<<5 | 29},
		time.Date(2026, 3, 1, 1, 30, 11, 0, time.FixedZone("CET", int(time.Hour/1e9))): {46<<9 | 3<<5 | 1, 30<<5 | 5},
	} {
		if date, clock := dosTime(at); date != want[0] || clock != want[1] {
			t.Errorf("%v: %#x %#x", at, date, clock)
		}
	}
}

// BenchmarkPack is what a pass costs beside its signature.
func BenchmarkPack(b *testing.B) {
	files := []File{strfile}
	for i := range 9 {
		files = append(files, File{fmt.Sprintf("image%d.png", i), bytes.Repeat(icon.Data, 20)})
	}
	template := must(NewTemplate(Config{}, files...))
	file := pass("Departs at gate B42. ")
	b.ReportAllocs()
	for b.Loop() {
		if err := template.Pack(io.Discard, sign, file); err != nil {
			b.Fatal(err)
		}
	}
}

// TestStoreBelow: what is short and given to Pack is not compressed, what is in
// the template still is.
func TestStoreBelow(t *testing.T) {
	template := must(NewTemplate(Config{StoreBelow: 1000}, strfile, File{Name: "pass.json"}))
	long := File{"long.txt", bytes.Repeat([]byte("x"), 1000)}
	var out bytes.Buffer
	if err := template.Pack(&out, sign, pass("a"), long); err != nil {
		t.Fatal(err)
	}
	for _, f := range must(zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))).File {
		want := map[string]uint16{"pass.json": zip.Store, "manifest.json": zip.Store, "signature": zip.Store}[f.Name]
		if f.Name == strfile.Name || f.Name == long.Name {
			want = zip.Deflate
		}
		if f.Method != want {
			t.Errorf("%s: method %d", f.Name, f.Method)
		}
	}
	if err := template.Pack(&out, sign, File{Name: "PASS.json"}); err == nil {
		t.Error("names that differ in case only are packed")
	}
}
