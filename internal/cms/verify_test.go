package cms

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"aviso.example/internal/cmstest"
)

const content = `{"a":"b"}`

func signers() (rsa, ec *cmstest.Issued) {
	apple := cmstest.Apple()
	return apple.Issue(cmstest.Pass("pass.com.example.a")), apple.Issue(cmstest.Leaf{UID: "web.com.example", EC: true})
}

// TestOtherPeoplesSignatures reads the forms that other programs write.
func TestOtherPeoplesSignatures(t *testing.T) {
	rsa, ec := signers()
	for name, s := range map[string]spec{
		"plain RSA": {signer: rsa},
		"plain EC":  {signer: ec},
		"SHA-1, as passkit-generator and jpasskit": {signer: rsa, digest: "1.3.14.3.2.26"},
		"SHA-1 with EC":                           {signer: ec, digest: "1.3.14.3.2.26", algorithm: "1.2.840.10045.4.1"},
		"SHA-384":                                 {signer: rsa, digest: "2.16.840.1.101.3.4.2.2", algorithm: "1.2.840.113549.1.1.12"},
		"SHA-512":                                 {signer: ec, digest: "2.16.840.1.101.3.4.2.3", algorithm: "1.2.840.10045.4.3.4"},
		"sha256WithRSAEncryption":                 {signer: rsa, algorithm: "1.2.840.113549.1.1.11"},
		"id-ecPublicKey":                          {signer: ec, algorithm: "1.2.840.10045.2.1"},
		"BER, as Bouncy Castle":                   {signer: rsa, indefinite: true},
		"no attributes (openssl -noattr)":         {signer: rsa, noAttributes: true},
		"no attributes, EC":                       {signer: ec, noAttributes: true},
		"attributes unsorted, as node-forge":      {signer: rsa, unsorted: true},
		"attributes hashed sorted, sent unsorted": {signer: rsa, hashSorted: true},
		"by key identifier (openssl -keyid)":      {signer: rsa, keyID: true},
		"an attribute nobody knows":               {signer: rsa, extra: attribute("1.2.840.113549.1.7.2", timeAttribute())},
		"without the intermediate":                {signer: rsa, certificates: [][]byte{rsa.Certificate.Raw}},
		"with attribute certificates":             {signer: rsa, certificates: [][]byte{der(tagContext1, []byte{1, 1, 0}), rsa.Certificate.Raw}},
		"with the root too":                       {signer: rsa, certificates: [][]byte{cmstest.Apple().Root.Certificate.Raw, rsa.Certificate.Raw}},
		"without a signing time":                  {signer: rsa, omit: oidSigningTime},
		"a time after 2049 is GeneralizedTime":    {signer: rsa, omit: oidSigningTime, extra: attribute(oidSigningTime, der(tagGeneralTime, []byte("20500101000000Z")))},
	} {
		t.Run(name, func(t *testing.T) {
			s.content = content
			signature := s.make(t)
			got, err := Verify(signature, []byte(content))
			if err != nil {
				t.Fatal(err)
			}
			if !got.Certificate.Equal(s.signer.Certificate) {
				t.Errorf("signed by %v", got.Certificate.Subject)
			}
			if s.digest == "" && got.Digest != crypto.SHA256 {
				t.Errorf("digest %v", got.Digest)
			}
			if want := !s.noAttributes && s.omit == ""; want != got.SigningTime.Equal(signedAt) {
				t.Errorf("signing time %v", got.SigningTime)
			}
			// One bit of the content, and one of the signature value at the end.
			if _, err := Verify(signature, []byte(`{"a":"c"}`)); !errors.Is(err, ErrContentChanged) {
				t.Errorf("changed content: %v", err)
			}
			value := bytes.Index(signature, must(parse(signature)).signer.signature)
			signature[value+40] ^= 1
			if _, err := Verify(signature, []byte(content)); !errors.Is(err, ErrBadSignature) {
				t.Errorf("changed signature: %v", err)
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	rsa, ec := signers()
	many := slices.Repeat([][]byte{rsa.Certificate.Raw}, maxCertificates+1)
	for name, c := range map[string]struct {
		spec
		want error
		says string
	}{
		"attached":                  {spec{signer: rsa, attached: true}, ErrMalformed, "-nodetach"},
		"several signers":           {spec{signer: rsa, signers: 2}, ErrMalformed, "several signers"},
		"without its certificate":   {spec{signer: rsa, certificates: [][]byte{ec.Certificate.Raw}}, ErrNoCertificate, "1 certificates"},
		"another key identifier":    {spec{signer: rsa, keyID: true, certificates: [][]byte{ec.Certificate.Raw}}, ErrNoCertificate, ""},
		"no certificates":           {spec{signer: rsa, certificates: [][]byte{}}, ErrNoCertificate, ""},
		"too many certificates":     {spec{signer: rsa, certificates: many}, ErrMalformed, "more than 16"},
		"broken certificate":        {spec{signer: rsa, certificates: [][]byte{der(tagSequence, []byte{2, 1, 1})}}, ErrMalformed, "certificates: number 1"},
		"MD5":                       {spec{signer: rsa, digest: "1.2.840.113549.2.5"}, ErrMalformed, "SHA-256"},
		"RSASSA-PSS":                {spec{signer: rsa, algorithm: "1.2.840.113549.1.1.10"}, ErrMalformed, "PKCS #1"},
		"digests that differ":       {spec{signer: rsa, algorithm: "1.2.840.113549.1.1.5"}, ErrMalformed, "SHA-1"},
		"algorithm of another key":  {spec{signer: rsa, algorithm: "1.2.840.10045.4.3.2"}, ErrBadSignature, ""},
		"other content type":        {spec{signer: rsa, contentType: "1.2.840.113549.1.9.16.1.4"}, ErrMalformed, "id-data"},
		"no content type attribute": {spec{signer: rsa, omit: oidContentType}, ErrMalformed, "contentType"},
		"no message digest":         {spec{signer: rsa, omit: oidMessageDigest}, ErrMalformed, "messageDigest"},
		"two signing times":         {spec{signer: rsa, extra: timeAttribute()}, ErrMalformed, "twice"},
		"no time":                   {spec{signer: rsa, omit: oidSigningTime, extra: attribute(oidSigningTime, []byte{tagInteger, 1, 1})}, ErrMalformed, "signingTime"},
		"a broken time":             {spec{signer: rsa, omit: oidSigningTime, extra: attribute(oidSigningTime, der(tagUTCTime, []byte("yesterday")))}, ErrMalformed, "signingTime"},
		"a time with two values":    {spec{signer: rsa, omit: oidSigningTime, extra: attribute(oidSigningTime, der(tagUTCTime, []byte("260301120000Z")), []byte{5, 0})}, ErrMalformed, "do not belong"},
	} {
		c.content = content
		_, err := Verify(c.make(t), []byte(content))
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v with %q", name, err, c.want, c.says)
		}
	}
}

// TestAttributesAsContent is an old trick: the attributes that somebody signed
// are handed out as content that was signed without attributes.
func TestAttributesAsContent(t *testing.T) {
	rsa, _ := signers()
	honest := must(parse(spec{signer: rsa, content: content}.make(t)))
	forged := spec{signer: rsa, content: "not used", noAttributes: true}.make(t)
	parsed := must(parse(forged))
	at := bytes.Index(forged, parsed.signer.signature)
	copy(forged[at:], honest.signer.signature)
	if _, err := Verify(forged, asSet(honest.signer.attributes)); !errors.Is(err, ErrContentChanged) {
		t.Errorf("forged: %v", err)
	}
}

func TestVerifyChain(t *testing.T) {
	apple := cmstest.Apple()
	now := time.Now()
	expired := apple.Issue(cmstest.Leaf{CommonName: "Pass Type ID: old", NotBefore: now.AddDate(-2, 0, 0), NotAfter: now.AddDate(-1, 0, 0)})
	leaf, _ := signers()
	stranger := cmstest.NewAuthority()
	whole := [][]byte{apple.WWDR.Certificate.Raw, leaf.Certificate.Raw}
	for name, c := range map[string]struct {
		spec
		at   time.Time
		root *x509.Certificate
		want error
		says string
	}{
		"in order":                  {spec{signer: leaf, certificates: whole}, now, apple.Root.Certificate, nil, ""},
		"expired":                   {spec{signer: expired}, now, apple.Root.Certificate, ErrExpired, "Pass Type ID: old"},
		"expired, then":             {spec{signer: expired}, now.AddDate(-1, -6, 0), apple.Root.Certificate, ErrExpired, "Worldwide"},
		"not yet":                   {spec{signer: leaf}, now.AddDate(-1, 0, 0), apple.Root.Certificate, ErrExpired, "valid from"},
		"another root":              {spec{signer: leaf}, now, stranger.Root.Certificate, ErrUntrusted, ""},
		"no intermediate":           {spec{signer: leaf, certificates: [][]byte{leaf.Certificate.Raw}}, now, apple.Root.Certificate, ErrNoIssuer, "AppleWWDRCAG4.cer"},
		"another intermediate":      {spec{signer: leaf, certificates: [][]byte{leaf.Certificate.Raw, apple.OtherWWDR.Certificate.Raw}}, now, apple.Root.Certificate, ErrNoIssuer, "there is"},
		"root inside, no roots":     {spec{signer: leaf, certificates: append(whole, apple.Root.Certificate.Raw)}, now, nil, nil, ""},
		"no roots":                  {spec{signer: leaf}, now, nil, nil, ""},
		"no roots, expired":         {spec{signer: expired}, now, nil, ErrExpired, "Pass Type ID: old"},
		"no roots, not yet":         {spec{signer: leaf}, now.AddDate(-1, 0, 0), nil, ErrExpired, "valid from"},
		"no roots, no intermediate": {spec{signer: leaf, certificates: [][]byte{leaf.Certificate.Raw}}, now, nil, ErrNoIssuer, "AppleWWDRCAG4.cer"},
		"no roots, nobody's":        {spec{signer: apple.Root, certificates: [][]byte{apple.Root.Certificate.Raw}}, now, nil, ErrNoIssuer, "signed by itself"},
		"signed by itself":          {spec{signer: stranger.Root, certificates: [][]byte{stranger.Root.Certificate.Raw}}, now, apple.Root.Certificate, ErrUntrusted, ""},
	} {
		c.content = content
		signature, err := Verify(c.make(t), []byte(content))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var roots []*x509.Certificate
		length := 2
		if c.root != nil {
			roots, length = append(roots, c.root), 3
		}
		chain, err := signature.VerifyChain(c.at, roots...)
		if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v with %q", name, err, c.want, c.says)
		}
		if err == nil && (len(chain) != length || !chain[1].Equal(apple.WWDR.Certificate)) {
			t.Errorf("%s: a chain of %d", name, len(chain))
		}
	}
}

func TestSubjectOf(t *testing.T) {
	apple := cmstest.Apple()
	pass := SubjectOf(apple.Issue(cmstest.Pass("pass.com.example.a")).Certificate)
	if pass.UID != "pass.com.example.a" || !slices.Equal(pass.TeamIDs, []string{cmstest.TeamID}) || !pass.PassType || !pass.PassSigning || pass.WebsitePush {
		t.Errorf("%+v", pass)
	}
	site := SubjectOf(apple.Issue(cmstest.Website("web.com.example")).Certificate)
	if site.UID != "web.com.example" || site.PassType || site.PassSigning || !site.WebsitePush {
		t.Errorf("%+v", site)
	}
	if other := SubjectOf(apple.Root.Certificate); other.UID != "" || other.PassType || other.WebsitePush {
		t.Errorf("%+v", other)
	}
}
