package safari

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"time"

	"aviso.example/internal/bundle"
	"aviso.example/internal/cms"
)

// VerifyConfig says what a package is held against.
type VerifyConfig struct {
	// Roots are trusted: Apple Root CA, or a stand-in. Without any, the chain is
	// checked as far as the package holds it, and [Package.Trusted] is false.
	Roots []*x509.Certificate
	// At is the time at which the certificates must be valid; zero means now.
	At time.Time
}

// Package is what [Verify] read.
type Package struct {
	Website Website
	Version Version
	// Certificate is the signer's, nil if the signature could not be verified.
	Certificate *x509.Certificate
	// Trusted says that the chain leads to one of the roots that were given.
	Trusted bool
	// SigningTime is when the signer says the package was signed; zero if it does
	// not say. Digest is the digest algorithm of the signature.
	SigningTime time.Time
	Digest      crypto.Hash
	// Files are the names of all files, sorted.
	Files []string
}

// Verify checks a push package of the given size in bytes that anybody made, as
// Safari does and more: zip, files, website.json, icons, manifest, signature, and
// that the certificate is the website's and was issued and valid.
//
// It reads hostile input; a package may have 8 MiB. The error is *[Error] and
// names every problem. The package holds what could be read even so, and is nil
// if it is no zip that could be read at all.
func Verify(r io.ReaderAt, size int64, config VerifyConfig) (*Package, error) {
	if config.At.IsZero() {
		config.At = time.Now()
	}
	var found problems
	files, err := bundle.ReadZip(r, size, limits)
	found.addErr("", err)
	if files == nil {
		return nil, found.err()
	}
	p := &Package{}
	for _, file := range files.Files {
		p.Files = append(p.Files, file.Name)
	}
	checkFiles(files, &found)
	if data, ok := files.Get(websiteFile); ok {
		p.Website, err = ParseWebsite(data)
		found.addErr(websiteFile, err)
	} else {
		found.add(websiteFile, "it is missing", "")
	}
	checkIcons(files.Get, &found)
	digest, err := files.CheckManifest(bundle.SHA512Object, bundle.SHA1)
	found.addErr("", err)
	p.Version = Version2
	if digest == bundle.SHA1 {
		p.Version = Version1
	}
	p.verifySignature(files, config, &found)
	return p, found.err()
}

func (p *Package) verifySignature(files *bundle.Package, config VerifyConfig, found *problems) {
	const path = bundle.SignatureName
	manifest, _ := files.Get(bundle.ManifestName)
	data, ok := files.Get(path)
	if !ok {
		found.add(path, "it is missing", "sign manifest.json with the Website Push ID certificate")
		return
	}
	signature, err := cms.Verify(data, manifest)
	if err != nil {
		found.addErr(path, err)
		return
	}
	p.Certificate, p.SigningTime, p.Digest = signature.Certificate, signature.SigningTime, signature.Digest
	checkCertificate(path, p.Certificate, p.Website.WebsitePushID, found)
	if _, err := signature.VerifyChain(config.At, config.Roots...); err != nil {
		found.addErr(path, err)
	} else {
		p.Trusted = len(config.Roots) > 0
	}
	if at := p.SigningTime; !at.IsZero() && (at.Before(p.Certificate.NotBefore) || at.After(p.Certificate.NotAfter)) {
		found.add(path, fmt.Sprintf("it was made on %s, when its certificate was not valid", at.Format(time.DateOnly)), "check the clock of the machine that signs")
	}
}
