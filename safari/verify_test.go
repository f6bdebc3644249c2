package safari

import (
	"bytes"
	"crypto"
	"errors"
	"testing"
	"time"

	"aviso.example/internal/cmstest"
)

func TestVerifyRefuses(t *testing.T) {
	apple := cmstest.Apple()
	now := time.Now()
	data := must(must(NewBuilder(config())).Package(Version2, authenticationToken))
	stranger := cmstest.NewAuthority()
	otherSite := apple.Issue(cmstest.Website("web.com.example.other"))
	for name, c := range map[string]struct {
		change func(files map[string][]byte)
		config VerifyConfig
		want   []string
	}{
		"in order":             {nil, VerifyConfig{}, nil},
		"another root":         {nil, VerifyConfig{Roots: intermediates(stranger.Root)}, []string{"signature: the chain does not lead to a trusted root"}},
		"expired by then":      {nil, VerifyConfig{At: now.AddDate(2, 0, 0)}, []string{"signature: a certificate is not valid at that time"}},
		"expired, with a root": {nil, VerifyConfig{At: now.AddDate(2, 0, 0), Roots: intermediates(apple.Root)}, []string{"signature: a certificate is not valid"}},
		"icon changed":         {func(f map[string][]byte) { f["icon.iconset/icon_16x16.png"] = append(square(16), 0) }, VerifyConfig{}, []string{"icon_16x16.png: its hash in the manifest is of other bytes"}},
		"icon missing":         {func(f map[string][]byte) { delete(f, "icon.iconset/icon_16x16.png") }, VerifyConfig{}, []string{"icon_16x16.png: it is missing", "icon_16x16.png: the manifest lists it, but it is not there"}},
		"manifest changed":     {func(f map[string][]byte) { f["manifest.json"] = append(f["manifest.json"], ' ') }, VerifyConfig{}, []string{"signature: the content is not what was signed"}},
		"no signature":         {func(f map[string][]byte) { delete(f, "signature") }, VerifyConfig{}, []string{"signature: it is missing"}},
		"no signature in it":   {func(f map[string][]byte) { f["signature"] = []byte("x") }, VerifyConfig{}, []string{"signature: the signature cannot be read"}},
		"another site's":       {func(f map[string][]byte) { resign(t, f, otherSite) }, VerifyConfig{}, []string{`signature: it is for "web.com.example.other"`}},
		"a pass's":             {func(f map[string][]byte) { resign(t, f, apple.Issue(cmstest.Pass("pass.x"))) }, VerifyConfig{}, []string{"signature: it is a Pass Type ID certificate"}},
		"another file":         {func(f map[string][]byte) { f["README.txt"] = []byte("x") }, VerifyConfig{}, []string{"README.txt: a push package has no such file", "README.txt: it is not in the manifest"}},
		"junk":                 {func(f map[string][]byte) { f["__MACOSX/._website.json"] = nil }, VerifyConfig{}, []string{"left behind"}},
		"no website.json":      {func(f map[string][]byte) { delete(f, "website.json") }, VerifyConfig{}, []string{"website.json: it is missing", "website.json: the manifest lists it", "and websitePushID is \"\""}},
		"everything at once": {func(f map[string][]byte) {
			f["website.json"] = bytes.Replace(f["website.json"], []byte("https://push"), []byte("http://push"), 1)
			f["icon.iconset/icon_16x16.png"] = square(17)
			resign(t, f, otherSite)
		}, VerifyConfig{}, []string{"#webServiceURL: it does not begin", "icon_16x16.png: it has 17", "website.json: its hash", "icon_16x16.png: its hash", "signature: it is for"}},
	} {
		files := contents(t, data)
		if c.change != nil {
			c.change(files)
		}
		p, err := verify(repack(t, files), c.config)
		wantProblems(t, name, err, c.want...)
		if p == nil || p.Trusted {
			t.Errorf("%s: %+v", name, p)
		}
	}
	nested := map[string][]byte{}
	for name, data := range contents(t, data) {
		nested["Site.pushpackage/"+name] = data
	}
	if _, err := verify(repack(t, nested), VerifyConfig{}); err == nil || !bytes.Contains([]byte(err.Error()), []byte("zip what is in the folder")) {
		t.Error(err)
	}
	for n := range data {
		if _, err := verify(data[:n], VerifyConfig{}); err == nil {
			t.Fatalf("%d of %d bytes were taken", n, len(data))
		}
	}
}

// TestSignedAtTheWrongTime: the machine that signed had another clock.
func TestSignedAtTheWrongTime(t *testing.T) {
	leaf := cmstest.Website(siteID)
	leaf.NotBefore = time.Now().Add(time.Hour)
	files := contents(t, must(must(NewBuilder(config())).Package(Version1, authenticationToken)))
	resign(t, files, cmstest.Apple().Issue(leaf))
	p, err := verify(repack(t, files), VerifyConfig{At: time.Now().Add(2 * time.Hour)})
	wantProblems(t, "clock", err, "signature: it was made on")
	if p.Digest != crypto.SHA256 {
		t.Error(p.Digest)
	}
}

func FuzzVerify(f *testing.F) {
	issued := cmstest.Apple().Issue(cmstest.Leaf{UID: siteID, EC: true})
	c := config()
	c.Certificate, c.Key = issued.Certificate, issued.Key
	builder := must(NewBuilder(c))
	for _, version := range []Version{Version1, Version2} {
		f.Add(must(builder.Package(version, authenticationToken)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := verify(data, VerifyConfig{})
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("%T", err)
			}
			return
		}
		if p.Certificate == nil || p.Website.Validate() != nil || len(p.Files) != 9 {
			t.Fatalf("%+v", p)
		}
	})
}
