package safari

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"aviso.example/internal/cmstest"
)

func intermediates(issued ...*cmstest.Issued) (all []*x509.Certificate) {
	for _, i := range issued {
		all = append(all, i.Certificate)
	}
	return all
}

func verify(data []byte, config VerifyConfig) (*Package, error) {
	return Verify(bytes.NewReader(data), int64(len(data)), config)
}

func TestBuiltThenVerified(t *testing.T) {
	apple := cmstest.Apple()
	for name, leaf := range map[string]cmstest.Leaf{
		"RSA": cmstest.Website(siteID), "EC": {CommonName: "Website Push ID: " + siteID, UID: siteID, Mark: cmstest.OIDWebsitePush, EC: true},
	} {
		issued := apple.Issue(leaf)
		c := config()
		c.Certificate, c.Key = issued.Certificate, issued.Key
		c.Source.Website.AuthenticationToken = "" // each package has its own
		builder, err := NewBuilder(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, version := range []Version{Version1, Version2} {
			data, err := builder.Package(version, authenticationToken)
			if err != nil {
				t.Fatal(err)
			}
			p, err := verify(data, VerifyConfig{Roots: intermediates(apple.Root)})
			wantProblems(t, name+version.String(), err)
			if p.Version != version || !p.Trusted || !p.Certificate.Equal(issued.Certificate) || p.Website.String() != site().String() || p.Website.AuthenticationToken != authenticationToken || p.SigningTime.IsZero() || len(p.Files) != 9 {
				t.Errorf("%s: %+v", name, p)
			}
			p, err = verify(data, VerifyConfig{})
			wantProblems(t, "without roots", err)
			if p.Trusted {
				t.Error("trusted without roots")
			}
		}
	}
}

// TestManifestOnTheWire looks at the bytes that Safari reads.
func TestManifestOnTheWire(t *testing.T) {
	builder := must(NewBuilder(config()))
	var v1 map[string]string
	if err := json.Unmarshal(contents(t, must(builder.Package(Version1, authenticationToken)))["manifest.json"], &v1); err != nil || len(v1) != 7 || len(v1["icon.iconset/icon_16x16@2x.png"]) != 40 {
		t.Errorf("%v, %v", v1, err)
	}
	var v2 map[string]struct{ HashType, HashValue string }
	if err := json.Unmarshal(contents(t, must(builder.Package(Version2, authenticationToken)))["manifest.json"], &v2); err != nil || len(v2) != 7 || v2["website.json"].HashType != "sha512" || len(v2["website.json"].HashValue) != 128 {
		t.Errorf("%v, %v", v2, err)
	}
}

func TestBuilderIsConcurrent(t *testing.T) {
	builder := must(NewBuilder(config()))
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			issued := strings.Repeat(string(rune('a'+i)), 20)
			p, err := verify(must(builder.Package(Version(1+i%2), issued)), VerifyConfig{})
			if err != nil || p.Website.AuthenticationToken != issued {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestBuilderRefuses(t *testing.T) {
	apple := cmstest.Apple()
	take := func(leaf cmstest.Leaf) func(*BuilderConfig) {
		return func(c *BuilderConfig) {
			issued := apple.Issue(leaf)
			c.Certificate, c.Key = issued.Certificate, issued.Key
		}
	}
	now := time.Now()
	old := cmstest.Website(siteID)
	old.NotBefore, old.NotAfter = now.AddDate(-2, 0, 0), now.AddDate(0, 0, -1)
	for name, c := range map[string]struct {
		change func(*BuilderConfig)
		want   []string
	}{
		"in order":         {func(*BuilderConfig) {}, nil},
		"no certificate":   {func(c *BuilderConfig) { c.Certificate = nil }, []string{"certificate: it is missing"}},
		"no key":           {func(c *BuilderConfig) { c.Key = nil }, []string{"certificate: it is missing"}},
		"another website":  {take(cmstest.Website("web.com.example.other")), []string{`certificate: it is for "web.com.example.other", and websitePushID is "web.com.example.news"`}},
		"a pass":           {take(cmstest.Pass(siteID)), []string{"it is a Pass Type ID certificate"}},
		"an app":           {take(cmstest.Leaf{UID: "com.example.news"}), []string{"it is not a Website Push ID certificate"}},
		"without the mark": {take(cmstest.Leaf{UID: siteID}), nil}, // its value is not certain
		"expired":          {take(old), []string{"certificate: it expired on "}},
		"not yet":          {func(c *BuilderConfig) { c.Now = func() time.Time { return now.AddDate(-1, 0, 0) } }, []string{"it is not valid before", "the intermediate that issued it is valid from"}},
		"no intermediate":  {func(c *BuilderConfig) { c.Intermediates = nil }, []string{"certificate: the intermediate that issued the certificate is missing"}},
		"icon missing":     {func(c *BuilderConfig) { delete(c.Source.Icons, "icon_32x32.png") }, []string{"icon.iconset/icon_32x32.png: it is missing"}},
		"icon of twice":    {func(c *BuilderConfig) { c.Source.Icons["icon_32x32.png"] = square(64) }, []string{"icon.iconset/icon_32x32.png: it has 64 × 64 pixels, and 32 × 32 are needed"}},
		"half a PNG":       {func(c *BuilderConfig) { c.Source.Icons["icon_16x16.png"] = square(16)[:60] }, []string{"icon.iconset/icon_16x16.png: it is cut off"}},
		"a JPEG":           {func(c *BuilderConfig) { c.Source.Icons["icon_16x16.png"] = []byte("\xFF\xD8\xFF\xE0") }, []string{"icon.iconset/icon_16x16.png: it is not a PNG image"}},
		"all at once": {func(c *BuilderConfig) {
			c.Source.Website.AuthenticationToken = "short"
			c.Source.Website.WebServiceURL = "http://x"
			c.Source.Icons = nil
			c.Key = apple.Root.Key
			c.Intermediates = nil
		}, []string{"#authenticationToken: ", "#webServiceURL: ", "icon_128x128@2x.png", "private key does not belong", "intermediate", "icon_16x16.png", "icon_16x16@2x", "icon_32x32.png", "icon_32x32@2x", "icon_128x128.png"}},
	} {
		config := config()
		c.change(&config)
		_, err := NewBuilder(config)
		wantProblems(t, name, err, c.want...)
	}
	builder := must(NewBuilder(config()))
	_, err := builder.Package(3, "short")
	wantProblems(t, "package", err, "no version 3", "it has 5 characters")
	// A builder lives longer than its certificate.
	builder.now = func() time.Time { return now.AddDate(2, 0, 0) }
	_, err = builder.Package(Version2, authenticationToken)
	wantProblems(t, "expired since", err, "it expired on", "the intermediate that issued it is valid from")
}

func TestIconSizes(t *testing.T) {
	sizes := IconSizes()
	if len(sizes) != 6 || sizes["icon_16x16.png"] != 16 || sizes["icon_128x128@2x.png"] != 256 {
		t.Error(sizes)
	}
}

func TestReadSource(t *testing.T) {
	files := map[string][]byte{"website.json": must(site().JSON()), ".DS_Store": nil}
	for name, data := range iconSet() {
		files[iconFolder+name] = data
	}
	dir := t.TempDir()
	writeSource(t, dir, files)
	root := must(os.OpenRoot(dir))
	defer root.Close()
	source, err := ReadSource(root)
	wantProblems(t, "in order", err)
	if source.Website.String() != site().String() || len(source.Icons) != 6 {
		t.Errorf("%+v", source)
	}
	writeSource(t, dir, map[string][]byte{"website.json": []byte(`{"websitePushID":"x"}`), "icon.iconset/icon_16x16.png": square(17), "icon.iconset/icon_512x512.png": square(1), "README": nil})
	_, err = ReadSource(root)
	wantProblems(t, "not in order", err, "README: a push package has no such file", "icon_512x512.png: a push package", "icon_16x16.png: it has 17", "#websitePushID: it does not begin", "#websiteName: ", "#allowedDomains: ", "#urlFormatString: ", "#authenticationToken: ", "#webServiceURL: ")
	empty := must(os.OpenRoot(t.TempDir()))
	_, err = ReadSource(empty)
	if err == nil || !strings.Contains(err.Error(), "give the folder that holds website.json") {
		t.Error(err)
	}
	empty.Close()
	if _, err = ReadSource(empty); err == nil {
		t.Error("a closed root was read")
	}
}

// BenchmarkPackage beside BenchmarkKey: what a package costs beyond the bare
// RSA-2048 signature.
func BenchmarkPackage(b *testing.B) {
	builder := must(NewBuilder(config()))
	b.ReportAllocs()
	for b.Loop() {
		must(builder.Package(Version2, authenticationToken))
	}
}

func BenchmarkKey(b *testing.B) {
	key, digest := siteCertificate().Key, make([]byte, 32)
	for b.Loop() {
		must(key.Sign(rand.Reader, digest, crypto.SHA256))
	}
}

// TestExpiredIntermediate: Safari refuses what it issued, and so does Builder, at
// once and later.
func TestExpiredIntermediate(t *testing.T) {
	c := config()
	c.Intermediates = []*x509.Certificate{cmstest.Apple().RenewWWDR(time.Now().AddDate(-3, 0, 0), time.Now().AddDate(0, 1, 0))}
	b := must(NewBuilder(c))
	c.Now = func() time.Time { return time.Now().AddDate(0, 2, 0) }
	_, err := NewBuilder(c)
	wantProblems(t, "at once", err, "certificate: the intermediate that issued it is valid from")
	b.now = c.Now
	_, err = b.Package(Version1, authenticationToken)
	wantProblems(t, "later", err, "certificate: the intermediate that issued it is valid from")
}
