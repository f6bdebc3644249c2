package wallet

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"aviso.example/internal/bundle"
	"aviso.example/internal/cms"
)

// Package is a .pkpass or .order file that was read. Nothing in it is to be
// trusted until it was verified.
type Package struct {
	// Files are all files, manifest.json and signature among them.
	Files Files
	// Pass is pass.json, or nil if there is none that can be read.
	Pass *Pass
	// Order is order.json, or nil if there is none that can be read.
	Order *Order

	// read are the problems found on reading.
	read Problems
}

// Open reads a signed pass or order that anybody made. It bounds what it reads:
// 50 MiB in all, 1,000 files; and refuses names that lead out of the package,
// entries that overlap and the like. Such problems, and those of pass.json or
// order.json that keep it from being read, are reported by [Package.Verify]; the
// error says that this is no zip at all, or that r fails.
func Open(r io.ReaderAt, size int64) (*Package, error) {
	read, err := bundle.ReadZip(r, size, readLimits)
	problems, err := bundleProblems(err)
	if err != nil {
		return nil, err
	}
	if read == nil || len(read.Files) == 0 && len(problems) > 0 {
		return nil, &InvalidError{problems}
	}
	p := &Package{Files: Files{}, read: problems}
	for _, f := range read.Files {
		p.Files[f.Name] = f.Data
	}
	p.parse()
	return p, nil
}

// parse reads pass.json or order.json.
func (p *Package) parse() {
	report := func(file string, err error) {
		if bad, ok := errors.AsType[*InvalidError](err); ok {
			p.read = append(p.read, bad.Problems...)
		} else if err != nil {
			bad := notJSON(err)
			bad.File = file
			p.read = append(p.read, bad)
		}
	}
	readable := func(file string) (data []byte, there bool) {
		data, there = p.Files[file]
		repaired, changed := RepairJSON(data)
		if there && changed {
			p.read = append(p.read, Problem{Warning, file, "", "has a comma before } or ]", "take it out: it is no JSON, and nobody knows whether Wallet takes it"})
		}
		return repaired, there
	}
	pass, isPass := readable(filePass)
	order, isOrder := readable(fileOrder)
	var err error
	switch {
	case isPass:
		p.Pass, err = ParsePass(pass)
		report(filePass, err)
		if isOrder {
			p.read = append(p.read, Problem{Error, fileOrder, "", "stands beside pass.json; a package has one of the two", "leave one out"})
		}
	case isOrder:
		p.Order, err = ParseOrder(order)
		report(fileOrder, err)
	case p.Files.isBundle():
		p.read = append(p.read, bundleOfPasses)
	default:
		p.read = append(p.read, Problem{Error, filePass, "", "is missing, and there is no order.json either", "a package has one of them at its root"})
	}
}

// Problems returns what kept files from being read, and pass.json or order.json
// from being understood. Files is short of what was refused. They are part of what
// [Package.Verify] finds.
func (p *Package) Problems() Problems { return slices.Clone(p.read).sort() }

// Source returns the files of which the package was made: all but manifest.json
// and signature. They can be checked, changed and signed again.
func (p *Package) Source() Files { return without(p.Files, fileManifest, fileSignature) }

// Trust is whether a signature leads to somebody who is trusted.
type Trust uint8

// The degrees of trust.
const (
	// NotJudged means that there were no roots to judge by: nobody knows who
	// made the package, and anybody can have.
	NotJudged Trust = iota
	// Trusted means that the chain of certificates leads to one of the roots.
	Trusted
	// NotTrusted means that it does not, or that there is no valid signature.
	NotTrusted
)

// String says it in a few words.
func (t Trust) String() string {
	switch t {
	case Trusted:
		return "trusted"
	case NotTrusted:
		return "not trusted"
	}
	return "not judged"
}

// MarshalText returns what String returns.
func (t Trust) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// VerifyOptions say what to verify by.
type VerifyOptions struct {
	// Roots are trusted: Apple Root CA, or the root of test certificates. Without
	// any, the chain is not judged, and the result says so.
	Roots []*x509.Certificate
	// Intermediates are used if the package lacks those it should have, so that
	// the rest can be judged; the lack is a problem all the same.
	Intermediates []*x509.Certificate
	// At is the time to judge dates by; zero means now.
	At time.Time
}

// Verification is what was found out about a package.
type Verification struct {
	// Trust says whether the signer is trusted. It is not about the rest: a
	// package is in order if it is Trusted and Problems has no errors.
	Trust Trust
	// Certificate is the signer's, or nil if the signature could not be read.
	Certificate *x509.Certificate
	// TypeIdentifier and TeamIdentifier are the certificate's UID and OU.
	TypeIdentifier, TeamIdentifier string
	// Chain begins with the signer's certificate, and goes as far as it could be
	// followed, to a root if it is trusted.
	Chain []*x509.Certificate
	// SigningTime is when the signer says it was signed; zero if it does not.
	SigningTime time.Time
	// Digest is the digest algorithm of the signature.
	Digest crypto.Hash
	// Problems is everything that is wrong, errors first.
	Problems Problems
}

// Verify checks a package as a device does before it shows it: that the manifest
// lists exactly the files there are, each with its hash; that the signature is
// over the manifest; that the signer's certificate leads to one of the roots; and
// that it is of the right kind, of the pass type and the team that pass.json
// names, and not expired. What pass.json shows is checked by [Files.Check] of the
// [Package.Source].
func (p *Package) Verify(options VerifyOptions) *Verification {
	if options.At.IsZero() {
		options.At = time.Now()
	}
	v := &Verification{Trust: NotTrusted}
	v.Problems = append(v.Problems, p.read...)
	v.manifest(p)
	if signed := v.signature(p); signed != nil {
		v.signer(p, signed, options)
		v.chain(signed, options)
	}
	v.Problems.sort()
	return v
}

func (v *Verification) error(file, fix, format string, args ...any) {
	v.Problems = append(v.Problems, Problem{Error, file, "", fmt.Sprintf(format, args...), fix})
}

func (v *Verification) warn(file, fix, format string, args ...any) {
	v.Problems = append(v.Problems, Problem{Warning, file, "", fmt.Sprintf(format, args...), fix})
}

func (v *Verification) manifest(p *Package) {
	digest := bundle.SHA1
	if p.Files.isOrder() {
		digest = bundle.SHA256
	}
	read := &bundle.Package{Files: p.Files.list()}
	_, err := read.CheckManifest(digest)
	problems, _ := bundleProblems(err)
	v.Problems = append(v.Problems, problems...)
}

func (v *Verification) signature(p *Package) *cms.Signature {
	signature, ok := p.Files[fileSignature]
	manifest, listed := p.Files[fileManifest]
	switch {
	case !ok:
		v.error(fileSignature, "sign the package", "is missing")
		return nil
	case !listed:
		return nil // the lack of a manifest was said
	}
	signed, err := cms.Verify(signature, manifest)
	if err != nil {
		fix := "sign manifest.json again, as a detached signature in DER"
		switch {
		case errors.Is(err, cms.ErrNoCertificate):
			fix = "include the signing certificate and the WWDR intermediate"
		case errors.Is(err, cms.ErrContentChanged), errors.Is(err, cms.ErrBadSignature):
			fix = "sign manifest.json again, after the last change"
		}
		v.error(fileSignature, fix, "%s", strings.TrimPrefix(err.Error(), "cms: "))
		return nil
	}
	return signed
}

func (v *Verification) signer(p *Package, signed *cms.Signature, options VerifyOptions) {
	id := identityOf(signed.Certificate)
	v.Certificate, v.TypeIdentifier, v.TeamIdentifier = signed.Certificate, id.UID, id.team()
	v.SigningTime, v.Digest = signed.SigningTime, signed.Digest
	switch {
	case p.Pass != nil:
		v.Problems = append(v.Problems, id.forPass(fileSignature, p.Pass, options.At)...)
	case p.Order != nil:
		v.Problems = append(v.Problems, id.forOrder(fileSignature, p.Order, options.At)...)
	}
	if signed.Digest == crypto.SHA1 {
		v.warn(fileSignature, "sign with SHA-256", "uses SHA-1, which is still accepted")
	}
	switch at := signed.SigningTime; {
	case at.IsZero():
		v.warn(fileSignature, "include the signing time, which Apple asks for", "does not say when it was made")
	case at.After(signed.Certificate.NotAfter) || at.Before(signed.Certificate.NotBefore):
		v.error(fileSignature, "sign while the certificate is valid", "was made at a time when its certificate was not valid: %s", at.UTC().Format(time.RFC3339))
	case at.After(options.At.Add(24 * time.Hour)):
		v.warn(fileSignature, "look at the clock of the machine that signs", "was made in the future: %s", at.UTC().Format(time.RFC3339))
	}
}

func (v *Verification) chain(signed *cms.Signature, options VerifyOptions) {
	_, err := signed.VerifyChain(options.At)
	if errors.Is(err, cms.ErrNoIssuer) {
		v.error(fileSignature, "include Apple's WWDR intermediate, "+WWDRURL, "holds no certificate that issued the signer's")
	}
	complete := *signed
	complete.Certificates = append(complete.Certificates[:len(complete.Certificates):len(complete.Certificates)], options.Intermediates...)
	chain, err := complete.VerifyChain(options.At, options.Roots...)
	v.Chain = chain
	if len(options.Roots) == 0 {
		v.Trust = NotJudged
	} else if err == nil {
		v.Trust = Trusted
	}
	switch {
	case err == nil:
	case errors.Is(err, cms.ErrNoIssuer), errors.Is(err, cms.ErrExpired) && !validAt(signed.Certificate, options.At):
		// It was said already.
	default:
		v.error(fileSignature, "sign with a certificate of Apple's, and its intermediate", "%s", strings.TrimPrefix(err.Error(), "cms: "))
	}
	if len(chain) == 0 {
		v.Chain = []*x509.Certificate{signed.Certificate}
	}
	for i, c := range v.Chain {
		if root := i > 0 && i == len(v.Chain)-1 && v.Trust == Trusted; cms.Weak(c) && !root {
			v.warn(fileSignature, "sign with a certificate of today", "%q is signed with SHA-1, as Apple's were until 2021", c.Subject.CommonName)
		}
	}
}

func validAt(c *x509.Certificate, at time.Time) bool {
	return !at.After(c.NotAfter) && !at.Before(c.NotBefore)
}
