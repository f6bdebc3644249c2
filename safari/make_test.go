package safari

import (
	"archive/zip"
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"aviso.example/internal/cms"
	"aviso.example/internal/cmstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

const (
	siteID = "web.com.example.news"
	// Long enough, and recognisable in what must not hold it.
	authenticationToken = "19f8d7a6e9fb8a7f6d9330dabe"
)

func site() Website {
	return Website{
		WebsiteName:         "Example News",
		WebsitePushID:       siteID,
		AllowedDomains:      []string{"https://www.example.com", "http://example.com:8080"},
		URLFormatString:     "https://www.example.com/%@/?flight=%@",
		AuthenticationToken: authenticationToken,
		WebServiceURL:       "https://push.example.com/safari",
	}
}

func square(pixels int) []byte {
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, pixels, pixels))); err != nil {
		panic(err)
	}
	return out.Bytes()
}

var sharedIcons = sync.OnceValue(func() map[string][]byte {
	made := map[string][]byte{}
	for _, icon := range icons {
		made[icon.name] = square(icon.pixels)
	}
	return made
})

func iconSet() map[string][]byte {
	set := map[string][]byte{}
	for name, data := range sharedIcons() {
		set[name] = data
	}
	return set
}

var siteCertificate = sync.OnceValue(func() *cmstest.Issued { return cmstest.Apple().Issue(cmstest.Website(siteID)) })

func config() BuilderConfig {
	issued := siteCertificate()
	apple := cmstest.Apple()
	return BuilderConfig{
		Source:      Source{Website: site(), Icons: iconSet()},
		Certificate: issued.Certificate, Key: issued.Key,
		Intermediates: intermediates(apple.OtherWWDR, apple.WWDR),
	}
}

// wantProblems checks that an error names each of the given, as "path: problem",
// and nothing else.
func wantProblems(t *testing.T, name string, err error, want ...string) {
	t.Helper()
	var got []Problem
	if err != nil {
		e, ok := err.(*Error)
		if !ok {
			t.Errorf("%s: %T: %v", name, err, err)
			return
		}
		got = e.Problems
		if strings.Contains(err.Error(), authenticationToken) {
			t.Errorf("%s: the authentication token is shown", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d problems instead of %d: %v", name, len(got), len(want), err)
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %v does not say %q", name, err, w)
		}
	}
}

// contents unpacks a package with archive/zip, repack makes one of any files in
// order, signed or not as they are.
func contents(t testing.TB, zipped []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, f := range must(zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))).File {
		var data bytes.Buffer
		must(data.ReadFrom(must(f.Open())))
		files[f.Name] = data.Bytes()
	}
	return files
}

func repack(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for name, data := range files {
		must(must(z.Create(name)).Write(data))
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// resign makes the manifest's signature anew, by anybody.
func resign(t testing.TB, files map[string][]byte, by *cmstest.Issued) {
	t.Helper()
	signer := must(cms.NewSigner(by.Certificate, by.Key, cmstest.Apple().WWDR.Certificate))
	files["signature"] = must(signer.Sign(files["manifest.json"]))
}

func writeSource(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
