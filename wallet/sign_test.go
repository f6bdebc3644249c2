package wallet

import (
	"archive/zip"
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"aviso.example/internal/cms"
	"aviso.example/internal/cmstest"
)

const (
	passType  = "pass.com.example.test"
	orderType = "order.com.example.test"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// picture makes a PNG.
func picture(width, height int) []byte {
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// icons are the images that every pass needs.
func icons() Files {
	return Files{"icon.png": picture(38, 38), "icon@2x.png": picture(76, 76), "icon@3x.png": picture(114, 114)}
}

func signerOf(t testing.TB, leaf cmstest.Leaf) *Signer {
	t.Helper()
	issued := cmstest.Apple().Issue(leaf)
	s, err := NewSigner(issued.Certificate, issued.Key, cmstest.Apple().OtherWWDR.Certificate, cmstest.Apple().WWDR.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t testing.TB, data []byte) *Package {
	t.Helper()
	p, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// trusted are the options of somebody who trusts the test authority.
func trusted() VerifyOptions {
	return VerifyOptions{Roots: []*x509.Certificate{cmstest.Apple().Root.Certificate}}
}

// wantGood checks that a package has no problem at all.
func wantGood(t testing.TB, data []byte) *Package {
	t.Helper()
	p := open(t, data)
	v := p.Verify(trusted())
	if v.Trust != Trusted || len(v.Problems) > 0 || len(v.Chain) != 3 || v.Digest != crypto.SHA256 || time.Since(v.SigningTime) > time.Minute {
		t.Fatalf("%+v", v)
	}
	return p
}

func TestSignPass(t *testing.T) {
	leafEC := cmstest.Pass(passType)
	leafEC.EC = true
	for name, leaf := range map[string]cmstest.Leaf{"RSA": cmstest.Pass(passType), "EC": leafEC} {
		t.Run(name, func(t *testing.T) {
			template, err := NewTemplate(signerOf(t, leaf), icons())
			if err != nil {
				t.Fatal(err)
			}
			pass := &Pass{
				SerialNumber: "1", OrganizationName: "Example", Description: "A pass",
				Generic: &Style{PrimaryFields: []Field{{Key: "name", Value: Text("Ada")}}},
			}
			data, err := template.Sign(pass, nil)
			if err != nil {
				t.Fatal(err)
			}
			if pass.PassTypeIdentifier != "" || pass.FormatVersion != 0 {
				t.Error("the pass was changed")
			}
			p := wantGood(t, data)
			if p.Pass.PassTypeIdentifier != passType || p.Pass.TeamIdentifier != cmstest.TeamID || p.Pass.FormatVersion != 1 || len(p.Files) != 6 {
				t.Errorf("%+v", p)
			}
			if problems := p.Source().Check(); len(problems) > 0 {
				t.Error(problems)
			}
		})
	}
}

// TestSameBytes signs the same pass twice: all but the signature is equal, and
// pass.json is what was given.
func TestSameBytes(t *testing.T) {
	template := must(NewTemplate(signerOf(t, cmstest.Pass(passType)), icons()))
	contents := func(data []byte) map[string]string {
		m := map[string]string{}
		for _, f := range must(zip.NewReader(bytes.NewReader(data), int64(len(data)))).File {
			m[f.Name] = string(must(io.ReadAll(must(f.Open())))) + f.Modified.String()
		}
		return m
	}
	one := must(template.SignJSON([]byte(ticket), nil))
	two := must(template.SignJSON([]byte(ticket), nil))
	a, b := contents(one), contents(two)
	for name := range a {
		if a[name] != b[name] && name != fileSignature {
			t.Errorf("%s differs", name)
		}
	}
	cut := bytes.Index(one, []byte("signature"))
	if len(a) != 6 || len(one) != len(two) || !bytes.Equal(one[:cut-30], two[:cut-30]) {
		t.Error("the zips differ before the signature")
	}
	if !bytes.Equal(open(t, one).Files[filePass], []byte(ticket)) {
		t.Error("pass.json was changed")
	}
}

func TestSignConcurrently(t *testing.T) {
	template := must(NewTemplate(signerOf(t, cmstest.Pass(passType)), icons()))
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			pass := must(ParsePass([]byte(generic)))
			pass.SerialNumber = fmt.Sprint(i)
			data, err := template.Sign(pass, Files{"thumbnail.png": picture(90, 90-i)})
			if err != nil {
				t.Error(err)
				return
			}
			p := must(Open(bytes.NewReader(data), int64(len(data))))
			if v := p.Verify(trusted()); len(v.Problems) > 0 || p.Pass.SerialNumber != fmt.Sprint(i) {
				t.Errorf("%+v", v)
			}
		})
	}
	group.Wait()
}

func TestOwnFiles(t *testing.T) {
	template := must(NewTemplate(signerOf(t, cmstest.Pass(passType)), icons()))
	own := Files{"icon.png": picture(29, 29), "thumbnail.png": picture(90, 90)}
	p := wantGood(t, must(template.SignJSON([]byte(generic), own)))
	if !bytes.Equal(p.Files["icon.png"], own["icon.png"]) || len(p.Files) != 7 {
		t.Error("the file of the pass did not replace that of the template")
	}
	_, err := template.SignJSON([]byte(generic), Files{"thumbnail.png": []byte("x"), "../x": nil, "signature": nil})
	for _, want := range []string{"thumbnail.png: is no PNG", "../x: ", "signature: is made on signing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
}

// TestSignRefuses has everything that is wrong, at once.
func TestSignRefuses(t *testing.T) {
	_, err := NewTemplate(nil, Files{"logo.png": []byte("GIF89a"), "en.lproj/pass.strings": []byte(`"a" "b"`), ".DS_Store": nil, filePass: []byte("ignored")})
	for _, want := range []string{"icon.png: is missing", "logo.png: is a GIF", "en.lproj/pass.strings: line 1: has no =", ".DS_Store: ", "certificate: is missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	template := must(NewTemplate(signerOf(t, cmstest.Pass(passType)), icons()))
	_, err = template.Sign(&Pass{PassTypeIdentifier: "pass.com.example.other", TeamIdentifier: "B1B2C3D4E5"}, nil)
	for _, want := range []string{
		"serialNumber: is missing", "organizationName: is missing", "description: is missing", "has no style",
		`certificate: is for "pass.com.example.test" (its UID), and passTypeIdentifier is "pass.com.example.other"`,
		`certificate: is of the team "A1B2C3D4E5"`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in %v", want, err)
		}
	}
	if _, ok := errors.AsType[*InvalidError](err); !ok {
		t.Errorf("%T", err)
	}
	for _, bad := range []string{"", "[]", `{"formatVersion": 1, "formatVersion": 1}`} {
		if _, err := template.SignJSON([]byte(bad), nil); err == nil {
			t.Errorf("signed %q", bad)
		}
	}
	// Personalization depends on the pass and on the template.
	files := icons()
	files[filePersonalization] = []byte(`{"description": "x", "requiredPersonalizationFields": ["PKPassPersonalizationFieldName"]}`)
	files["personalizationLogo.png"] = picture(150, 40)
	template = must(NewTemplate(signerOf(t, cmstest.Pass(passType)), files))
	if _, err := template.SignJSON([]byte(card), nil); err == nil || !strings.Contains(err.Error(), "personalization.json: needs a pass with nfc") {
		t.Error(err)
	}
}

func TestCertificates(t *testing.T) {
	pass := must(ParsePass([]byte(generic)))
	for _, test := range []struct {
		name string
		leaf func(*cmstest.Leaf)
		want string
	}{
		{"good", func(*cmstest.Leaf) {}, ""},
		{"expired", func(l *cmstest.Leaf) { l.NotAfter = time.Now().Add(-time.Minute) }, "error certificate: is expired since"},
		{"early", func(l *cmstest.Leaf) { l.NotBefore = time.Now().Add(time.Hour) }, "error certificate: is not valid before"},
		{"soon", func(l *cmstest.Leaf) { l.NotAfter = time.Now().AddDate(0, 0, 29) }, "warning certificate: expires on"},
		{"usage", func(l *cmstest.Leaf) { l.PassSigning = false }, "error certificate: is not for signing passes (extended key usage"},
		{"mark", func(l *cmstest.Leaf) { l.Mark = nil }, "error certificate: is not marked as a Pass Type ID certificate"},
		{"type", func(l *cmstest.Leaf) { l.UID = "pass.com.example.b" }, "error certificate: is for"},
		{"team", func(l *cmstest.Leaf) { l.TeamID = "B1B2C3D4E5" }, "error certificate: is of the team"},
		{"website", func(l *cmstest.Leaf) { l.Mark, l.PassSigning = cmstest.OIDWebsitePush, true }, "error certificate: is not marked"},
	} {
		leaf := cmstest.Pass(passType)
		test.leaf(&leaf)
		if leaf.NotAfter.Before(time.Now()) && !leaf.NotAfter.IsZero() {
			leaf.NotBefore = time.Now().Add(-time.Hour)
		}
		problems := signerOf(t, leaf).CheckPass(pass, time.Now())
		got := ""
		for _, p := range problems {
			got += p.Severity.String() + " " + p.String() + "\n"
		}
		if (test.want == "") != (got == "") || !strings.HasPrefix(got, test.want) || strings.Count(got, "\n") > 1 {
			t.Errorf("%s: %s", test.name, got)
		}
	}
	// The intermediate is as old as the test authority, a year at most.
	if p := signerOf(t, cmstest.Pass(passType)).CheckPass(pass, time.Now().AddDate(2, 0, 0)); len(p) != 2 || !strings.Contains(p[1].Message, "the intermediate that issued it is valid from") {
		t.Error(p)
	}
	order := &Order{OrderTypeIdentifier: orderType}
	if p := signerOf(t, cmstest.Order(orderType)).CheckOrder(order, time.Now()); len(p) > 0 {
		t.Error(p)
	}
	if p := signerOf(t, cmstest.Order("order.com.example.b")).CheckOrder(order, time.Now()); len(p) != 1 || !strings.Contains(p[0].Message, "is for") {
		t.Error(p)
	}
	if p := signerOf(t, cmstest.Pass(orderType)).CheckOrder(order, time.Now()); len(p) != 1 || !strings.Contains(p[0].Message, "is for passes") {
		t.Error(p)
	}
}

func TestSigners(t *testing.T) {
	apple := cmstest.Apple()
	issued := apple.Issue(cmstest.Pass(passType))
	_, err := NewSigner(issued.Certificate, issued.Key, apple.OtherWWDR.Certificate)
	if !errors.Is(err, cms.ErrNoIssuer) || !strings.Contains(err.Error(), WWDRURL) {
		t.Error(err)
	}
	if _, err = NewSigner(issued.Certificate, apple.Issue(cmstest.Leaf{EC: true}).Key, apple.WWDR.Certificate); !errors.Is(err, cms.ErrKeyMismatch) {
		t.Error(err)
	}
	s, err := NewSignerTLS(&tls.Certificate{Certificate: [][]byte{issued.Certificate.Raw, apple.WWDR.Certificate.Raw}, PrivateKey: issued.Key})
	if err != nil || s.TypeIdentifier() != passType || s.TeamIdentifier() != cmstest.TeamID || !s.Certificate().Equal(issued.Certificate) {
		t.Error(err)
	}
	for _, bad := range []*tls.Certificate{{}, {PrivateKey: issued.Key}, {Certificate: [][]byte{issued.Certificate.Raw}}, {Certificate: [][]byte{{1}}, PrivateKey: issued.Key}} {
		if _, err := NewSignerTLS(bad); err == nil {
			t.Error("no error")
		}
	}
	if signed, err := cms.Verify(must(s.SignDetached([]byte("x"))), []byte("x")); err != nil || !signed.Certificate.Equal(issued.Certificate) {
		t.Error(err)
	}
	wwdr := apple.WWDR.Certificate.Raw
	text := append([]byte("Bag Attributes\n"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: wwdr})...)
	for name, data := range map[string][]byte{"DER": wwdr, "PEM": text, "PEM twice": append(text, issued.PEM()...)} {
		if found, err := ParseCertificates(data); err != nil || len(found) == 0 || !found[0].Equal(apple.WWDR.Certificate) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range [][]byte{nil, {1, 2}, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN X-----\nAAAA\n-----END X-----\n")} {
		if found, err := ParseCertificates(bad); err == nil {
			t.Errorf("%q: %v", bad, found)
		}
	}
}
