package wallet

import (
	"archive/zip"
	"bytes"
	"crypto"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"aviso.example/internal/cms"
	"aviso.example/internal/cmstest"
)

// zipped makes a zip of files as somebody else would: in the order of names,
// with whatever manifest and signature are among them.
func zipped(files Files) []byte {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range files.names() {
		if _, err := must(z.Create(name)).Write(files[name]); err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// manifestOf writes a manifest as somebody else would.
func manifestOf(files Files) []byte {
	list := map[string]string{}
	for name, data := range files {
		if name != fileManifest && name != fileSignature {
			sum := sha1.Sum(data)
			list[name] = hex.EncodeToString(sum[:])
		}
	}
	return must(json.MarshalIndent(list, "", "  "))
}

// signedFiles are the files of a good pass, made without bundle.
func signedFiles(t testing.TB, leaf cmstest.Leaf) Files {
	files := icons()
	files[filePass] = []byte(ticket)
	files[fileManifest] = manifestOf(files)
	files[fileSignature] = must(signerOf(t, leaf).cms.Sign(files[fileManifest]))
	return files
}

func findings(v *Verification) string {
	var s strings.Builder
	for _, p := range v.Problems {
		s.WriteString(p.Severity.String() + " " + p.String() + "\n")
	}
	return s.String()
}

func TestVerify(t *testing.T) {
	apple := cmstest.Apple()
	good := cmstest.Pass(passType)
	resign := func(f Files) {
		f[fileManifest] = manifestOf(f)
		f[fileSignature] = must(signerOf(t, good).cms.Sign(f[fileManifest]))
	}
	later := time.Now().AddDate(2, 0, 0)
	for _, test := range []struct {
		name    string
		leaf    cmstest.Leaf
		change  func(Files)
		options VerifyOptions
		trust   Trust
		want    []string // all findings, by their beginnings
	}{
		{"good", good, func(Files) {}, trusted(), Trusted, nil},
		{"no roots", good, func(Files) {}, VerifyOptions{}, NotJudged, nil},
		{"other root", good, func(Files) {}, VerifyOptions{Roots: []*x509.Certificate{cmstest.NewAuthority().Root.Certificate}}, NotTrusted,
			[]string{"error signature: the chain does not lead to a trusted root"}},
		{"changed file", good, func(f Files) { f["icon.png"] = picture(20, 20) }, trusted(), Trusted, []string{"error icon.png: its hash in the manifest is of other bytes"}},
		{"extra file", good, func(f Files) { f["logo.png"] = picture(20, 20) }, trusted(), Trusted, []string{"error logo.png: it is not in the manifest"}},
		{"missing file", good, func(f Files) { delete(f, "icon.png") }, trusted(), Trusted, []string{"error icon.png: the manifest lists it, but it is not there"}},
		{"changed manifest", good, func(f Files) { f[fileManifest] = append(f[fileManifest], ' ') }, trusted(), NotTrusted, []string{"error signature: the content is not what was signed"}},
		{"no manifest", good, func(f Files) { delete(f, fileManifest) }, trusted(), NotTrusted, []string{"error manifest.json: it is missing"}},
		{"no signature", good, func(f Files) { delete(f, fileSignature) }, trusted(), NotTrusted, []string{"error signature: is missing"}},
		{"garbage", good, func(f Files) { f[fileSignature] = []byte("x") }, trusted(), NotTrusted, []string{"error signature: the signature cannot be read"}},
		{"no pass.json", good, func(f Files) { delete(f, filePass); resign(f) }, trusted(), Trusted, []string{"error pass.json: is missing"}},
		{"broken pass.json", good, func(f Files) { f[filePass] = []byte("{"); resign(f) }, trusted(), Trusted, []string{"error pass.json: not a JSON object"}},
		{"types in pass.json", good, func(f Files) { f[filePass] = change(t, ticket, "voided", "1"); resign(f) }, trusted(), Trusted, []string{"error voided: a number where"}},
		{"pass and order", good, func(f Files) { f[fileOrder] = []byte("{}"); resign(f) }, trusted(), Trusted, []string{"error order.json: stands beside pass.json"}},
		{"other type", good, func(f Files) {
			f[filePass] = change(t, ticket, "passTypeIdentifier", `"pass.com.example.b"`)
			resign(f)
		}, trusted(), Trusted,
			[]string{"error signature: is for \"pass.com.example.test\" (its UID)"}},
		{"other team", good, func(f Files) { f[filePass] = change(t, ticket, "teamIdentifier", `"B1B2C3D4E5"`); resign(f) }, trusted(), Trusted,
			[]string{"error signature: is of the team \"A1B2C3D4E5\""}},
		{"website certificate", cmstest.Leaf{UID: passType, CommonName: "x", Mark: cmstest.OIDWebsitePush}, func(Files) {}, trusted(), Trusted,
			[]string{"error signature: is not marked as a Pass Type ID", "error signature: is not for signing passes"}},
		{"years later", good, func(Files) {}, VerifyOptions{Roots: trusted().Roots, At: later}, NotTrusted, []string{"error signature: is expired since"}},
		{"years before", good, func(Files) {}, VerifyOptions{Roots: trusted().Roots, At: time.Now().AddDate(0, 0, -3)}, NotTrusted,
			[]string{"error signature: is not valid before", "warning signature: was made in the future"}},
		{"nearly expired", cmstest.Leaf{UID: passType, Mark: cmstest.OIDPassType, PassSigning: true, NotAfter: time.Now().AddDate(0, 0, 3)}, func(Files) {}, trusted(), Trusted,
			[]string{"warning signature: expires on"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := signedFiles(t, test.leaf)
			test.change(files)
			v := open(t, zipped(files)).Verify(test.options)
			got := strings.Split(strings.TrimSpace(findings(v)), "\n")
			if findings(v) == "" {
				got = nil
			}
			if v.Trust != test.trust || len(got) != len(test.want) {
				t.Fatalf("%v; want %v\n%s", v.Trust, test.trust, findings(v))
			}
			for i, want := range test.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("got %s, want %s", got[i], want)
				}
			}
			if v.Trust == Trusted && (v.TypeIdentifier != passType || v.TeamIdentifier != cmstest.TeamID || len(v.Chain) != 3) {
				t.Errorf("%+v", v)
			}
			if v.Trust == NotJudged && len(v.Chain) != 2 {
				t.Errorf("the chain has %d certificates", len(v.Chain))
			}
		})
	}
	// A signature without the intermediate, which is what people forget.
	issued := apple.Issue(good)
	alone := must(cms.NewSigner(issued.Certificate, issued.Key, &x509.Certificate{
		Raw: apple.WWDR.Certificate.Raw, RawSubject: apple.WWDR.Certificate.RawSubject, RawIssuer: apple.WWDR.Certificate.RawSubject,
		SubjectKeyId: apple.WWDR.Certificate.SubjectKeyId, PublicKey: apple.WWDR.Certificate.PublicKey, IsCA: true, BasicConstraintsValid: true, Version: 3,
		PublicKeyAlgorithm: apple.WWDR.Certificate.PublicKeyAlgorithm, KeyUsage: apple.WWDR.Certificate.KeyUsage,
	}))
	files := signedFiles(t, good)
	files[fileSignature] = must(alone.Sign(files[fileManifest]))
	for _, options := range []VerifyOptions{{}, trusted(), {Roots: trusted().Roots, Intermediates: []*x509.Certificate{apple.WWDR.Certificate}}} {
		v := open(t, zipped(files)).Verify(options)
		want := NotJudged
		if len(options.Roots) > 0 {
			want = NotTrusted
		}
		if len(options.Intermediates) > 0 {
			want = Trusted
		}
		if v.Trust != want || len(v.Problems) != 1 || !strings.Contains(findings(v), "error signature: holds no certificate that issued the signer's") {
			t.Errorf("%v, want %v: %s", v.Trust, want, findings(v))
		}
	}
}

func TestVerifySignatures(t *testing.T) {
	files := signedFiles(t, cmstest.Pass(passType))
	p := open(t, zipped(files))
	v := &Verification{}
	signed := must(cms.Verify(files[fileSignature], files[fileManifest]))
	signed.Digest, signed.SigningTime = crypto.SHA1, time.Time{}
	v.signer(p, signed, VerifyOptions{At: time.Now()})
	for _, want := range []string{"warning signature: uses SHA-1", "warning signature: does not say when"} {
		if !strings.Contains(findings(v), want) || v.Problems.Err() != nil {
			t.Errorf("%q is missing in %s", want, findings(v))
		}
	}
	v = &Verification{}
	signed.Digest, signed.SigningTime = crypto.SHA256, signed.Certificate.NotAfter.Add(time.Hour)
	v.signer(p, signed, VerifyOptions{At: time.Now().AddDate(0, 6, 0)})
	if want := "error signature: was made at a time when its certificate was not valid"; !strings.HasPrefix(findings(v), want) {
		t.Errorf("%q is missing in %s", want, findings(v))
	}
	for trust, want := range map[Trust]string{Trusted: "trusted", NotTrusted: "not trusted", NotJudged: "not judged"} {
		if text, err := trust.MarshalText(); string(text) != want || err != nil {
			t.Errorf("%s", text)
		}
	}
}

// TestOpenRefuses takes packages that are no packages.
func TestOpenRefuses(t *testing.T) {
	whole := zipped(signedFiles(t, cmstest.Pass(passType)))
	for i := range len(whole) {
		if i%7 != 0 && i < len(whole)-200 {
			continue // every byte of the end, where the directory is
		}
		p, err := Open(bytes.NewReader(whole[:i]), int64(i))
		if err == nil && p.Verify(trusted()).Problems.Err() == nil {
			t.Fatalf("accepted after %d of %d bytes", i, len(whole))
		}
	}
	nested := Files{}
	for name, data := range signedFiles(t, cmstest.Pass(passType)) {
		nested["Concert.pass/"+name] = data
	}
	p, err := Open(bytes.NewReader(zipped(nested)), int64(len(zipped(nested))))
	if err != nil || !strings.Contains(findings(p.Verify(trusted())), "everything is in this folder") {
		t.Errorf("%v", err)
	}
	escaping := signedFiles(t, cmstest.Pass(passType))
	escaping["../x.png"] = picture(1, 1)
	v := open(t, zipped(escaping)).Verify(trusted())
	if !strings.Contains(findings(v), "error ../x.png: its name leads out of the package") {
		t.Error(findings(v))
	}
	files, problems, err := ReadZip(bytes.NewReader(zipped(escaping)), int64(len(zipped(escaping))))
	if err != nil || len(problems.Errors()) != 1 || files["../x.png"] != nil || files[fileSignature] != nil || files[filePass] == nil || len(problems.Warnings()) != 2 {
		t.Errorf("%v, %v", problems, err)
	}
	if _, _, err := ReadZip(strings.NewReader("no zip"), 6); err != nil {
		t.Error(err)
	}
}

// TestEveryByteOfAPass changes bytes of a signed pass. Whatever Verify says is in
// order has to have the same content.
func TestEveryByteOfAPass(t *testing.T) {
	files := signedFiles(t, cmstest.Pass(passType))
	whole := zipped(files)
	for i := 0; i < len(whole); i += 3 {
		changed := bytes.Clone(whole)
		changed[i] ^= 1 << (i % 8)
		p, err := Open(bytes.NewReader(changed), int64(len(changed)))
		if err != nil {
			continue
		}
		if v := p.Verify(trusted()); v.Problems.Err() == nil && v.Trust == Trusted {
			for name := range files {
				if name != fileSignature && !bytes.Equal(files[name], p.Files[name]) {
					t.Fatalf("byte %d: %s changed, and the pass is accepted", i, name)
				}
			}
		}
	}
}

func TestPasses(t *testing.T) {
	pass := zipped(signedFiles(t, cmstest.Pass(passType)))
	var out bytes.Buffer
	if err := WritePasses(&out, pass, pass); err != nil {
		t.Fatal(err)
	}
	passes, problems, err := ReadPasses(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil || len(problems) > 0 || len(passes) != 2 || !bytes.Equal(passes["2.pkpass"], pass) {
		t.Fatal(passes.names(), problems, err)
	}
	wantTrusted := open(t, passes["1.pkpass"]).Verify(trusted())
	if wantTrusted.Trust != Trusted {
		t.Error(findings(wantTrusted))
	}
	var eleven [][]byte
	for range 11 {
		eleven = append(eleven, pass)
	}
	for want, list := range map[string][][]byte{
		"there are no passes":         nil,
		"there are 11 passes; 10":     eleven,
		"2.pkpass: is no signed pass": {pass, []byte("x")},
		"1.pkpass: is no signed pass": {zipped(Files{filePass: []byte(ticket)})},
	} {
		if err := WritePasses(&out, list...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	c := &checker{}
	c.passes(2, maxPassesBytes+1)
	if err := c.problems.Err(); err == nil || !strings.Contains(err.Error(), "more than 150 MB") {
		t.Error(err)
	}
	other := zipped(Files{"a.pkpass": pass, "readme.txt": nil})
	if passes, problems, err := ReadPasses(bytes.NewReader(other), int64(len(other))); err != nil || len(passes) != 1 || len(problems) != 1 || problems[0].Severity != Warning {
		t.Error(problems, err)
	}
	// The names inside are free.
	free := zipped(Files{"outbound": pass, "Return.PKPASS": pass})
	if passes, problems, err := ReadPasses(bytes.NewReader(free), int64(len(free))); err != nil || len(passes) != 2 || len(problems) > 0 {
		t.Error(passes.names(), problems, err)
	}
	for _, problems := range []Problems{open(t, free).Problems(), open(t, free).Source().Check()} {
		if len(problems) != 1 || !strings.Contains(problems[0].String(), "holds several passes") {
			t.Error(problems)
		}
	}
	none := zipped(Files{"readme.txt": nil})
	if _, problems, err := ReadPasses(bytes.NewReader(none), int64(len(none))); err != nil || len(problems.Errors()) != 1 {
		t.Error(problems, err)
	}
	if _, problems, err := ReadPasses(strings.NewReader("no zip"), 6); err != nil || len(problems.Errors()) < 1 {
		t.Error(problems, err)
	}
}
