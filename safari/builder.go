package safari

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"aviso.example/internal/bundle"
	"aviso.example/internal/cms"
)

// Version is a version of push packages. They differ in the manifest only.
type Version int

// The versions. Safari says in the path of its call which one it wants; which
// release of macOS wants which is not documented.
const (
	// Version1 has SHA-1 hashes.
	Version1 Version = 1
	// Version2 has SHA-512 hashes, the only ones in Apple's last guide.
	Version2 Version = 2
)

func (v Version) String() string { return fmt.Sprintf("v%d", int(v)) }

func (v Version) digest() bundle.Digest {
	if v == Version1 {
		return bundle.SHA1
	}
	return bundle.SHA512Object
}

// Source is what a site brings: everything but manifest and signature.
type Source struct {
	Website Website
	// Icons are the six images by file name, such as "icon_16x16@2x.png".
	Icons map[string][]byte
}

// ReadSource reads website.json and the folder icon.iconset below root. Files
// that the system left behind are skipped, and a manifest.json or signature from
// an earlier build too. The error is *[Error] if the folder could be read.
func ReadSource(root *os.Root) (*Source, error) {
	p, err := bundle.ReadFolder(root, limits)
	if p == nil {
		return nil, fmt.Errorf("safari: %s", strings.TrimPrefix(err.Error(), "bundle: "))
	}
	var found problems
	found.addErr("", err)
	checkFiles(p, &found)
	s := &Source{Icons: map[string][]byte{}}
	if data, ok := p.Get(websiteFile); ok {
		s.Website, err = ParseWebsite(data)
		found.addErr(websiteFile, err)
	} else {
		found.add(websiteFile, "it is missing", "give the folder that holds website.json and icon.iconset")
	}
	for _, file := range p.Files {
		if name, ok := strings.CutPrefix(file.Name, iconFolder); ok {
			s.Icons[name] = file.Data
		}
	}
	checkIcons(p.Get, &found)
	return s, found.err()
}

// limits are far above any push package, whose icons have some 100 KB together.
var limits = bundle.Limits{Files: 100, FileBytes: 4 << 20, TotalBytes: 8 << 20}

// BuilderConfig says what goes into packages.
type BuilderConfig struct {
	Source Source
	// Certificate is the site's Website Push ID certificate and Key its private
	// key.
	Certificate *x509.Certificate
	Key         crypto.Signer
	// Intermediates must include the one that issued Certificate: today Apple's
	// WWDR intermediate G4. Others are ignored.
	Intermediates []*x509.Certificate
	// Now tells the time; nil means time.Now. A certificate that has expired, or
	// is not valid yet, is refused.
	Now func() time.Time
}

// Builder makes push packages of one website, which differ in the authentication
// token. It is safe for concurrent use.
type Builder struct {
	website   Website
	signer    *cms.Signer
	templates map[Version]*bundle.Template
	now       func() time.Time
}

// NewBuilder checks everything and prepares what packages share. The
// authentication token of the website may be empty here, since each package has
// its own. The error is *[Error] and names every problem.
func NewBuilder(config BuilderConfig) (*Builder, error) {
	b := &Builder{website: config.Source.Website, now: config.Now, templates: map[Version]*bundle.Template{}}
	if b.now == nil {
		b.now = time.Now
	}
	found := b.website.check(b.website.AuthenticationToken != "")
	checkIcons(func(name string) ([]byte, bool) {
		data, ok := config.Source.Icons[strings.TrimPrefix(name, iconFolder)]
		return data, ok
	}, &found)
	if config.Certificate == nil || config.Key == nil {
		found.add("certificate", "it is missing, or its private key is", "give the site's Website Push ID certificate with its key")
	} else {
		checkCertificate("certificate", config.Certificate, b.website.WebsitePushID, &found)
		checkDates("certificate", config.Certificate, b.now(), &found)
		var err error
		if b.signer, err = cms.NewSigner(config.Certificate, config.Key, config.Intermediates...); err != nil {
			found.addErr("certificate", err)
		} else {
			b.checkIntermediates(&found)
		}
	}
	var files []bundle.File
	for _, icon := range icons {
		files = append(files, bundle.File{Name: iconFolder + icon.name, Data: config.Source.Icons[icon.name]})
	}
	for _, version := range []Version{Version1, Version2} {
		template, err := bundle.NewTemplate(bundle.Config{Digest: version.digest()}, files...)
		if err != nil {
			return nil, fmt.Errorf("safari: %w", err) // The names are ours.
		}
		b.templates[version] = template
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	return b, nil
}

// WebsitePushID returns the identifier of the website.
func (b *Builder) WebsitePushID() string { return b.website.WebsitePushID }

// Package makes the package with the given authentication token, of at least 16
// characters. The error is *[Error] if that is not in order, the version is not
// known, or the certificate has expired since.
func (b *Builder) Package(version Version, authenticationToken string) ([]byte, error) {
	var found problems
	if b.templates[version] == nil {
		found.add("", fmt.Sprintf("there is no version %d of push packages", int(version)), "the versions are 1 and 2")
	}
	if problem, fix := checkAuthenticationToken(authenticationToken); problem != "" {
		found.add(key("authenticationToken"), problem, fix)
	}
	checkDates("certificate", b.signer.Certificate(), b.now(), &found)
	b.checkIntermediates(&found)
	if err := found.err(); err != nil {
		return nil, err
	}
	website := b.website
	website.AuthenticationToken = authenticationToken
	data, err := website.encode()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := b.templates[version].Pack(&out, b.signer.Sign, bundle.File{Name: websiteFile, Data: data}); err != nil {
		return nil, fmt.Errorf("safari: %w", err)
	}
	return out.Bytes(), nil
}

// checkIntermediates finds the intermediate of 2013, which expired in 2023 and is
// still in many folders.
func (b *Builder) checkIntermediates(found *problems) {
	for _, c := range b.signer.Intermediates() {
		if at := b.now(); at.After(c.NotAfter) || at.Before(c.NotBefore) {
			found.add("certificate", fmt.Sprintf("the intermediate that issued it is valid from %s to %s", c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly)),
				"have a new certificate issued, and use the intermediate of today, AppleWWDRCAG4.cer")
		}
	}
}

// checkCertificate wants the certificate of this very website.
func checkCertificate(path string, certificate *x509.Certificate, websitePushID string, found *problems) {
	subject := cms.SubjectOf(certificate)
	const fix = "use the Website Push ID certificate of this site"
	switch {
	case subject.PassType:
		found.add(path, "it is a Pass Type ID certificate", fix)
	case !subject.WebsitePush && !strings.HasPrefix(subject.UID, "web."):
		found.add(path, "it is not a Website Push ID certificate", fix)
	case subject.UID != websitePushID:
		found.add(path, fmt.Sprintf("it is for %q, and websitePushID is %q", subject.UID, websitePushID), fix)
	}
}

func checkDates(path string, certificate *x509.Certificate, now time.Time, found *problems) {
	const renew = "make a new one in the developer portal"
	switch {
	case now.After(certificate.NotAfter):
		found.add(path, "it expired on "+certificate.NotAfter.UTC().Format(time.DateOnly), renew)
	case now.Before(certificate.NotBefore):
		found.add(path, "it is not valid before "+certificate.NotBefore.UTC().Format(time.DateTime)+" UTC", "check this machine's clock")
	}
}
