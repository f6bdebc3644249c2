package cms

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"slices"
	"testing"
	"time"

	"aviso.example/internal/cmstest"
	"aviso.example/internal/cputime"
)

func TestTruncated(t *testing.T) {
	rsa, ec := signers()
	for _, s := range []spec{{signer: rsa}, {signer: ec, indefinite: true, keyID: true}} {
		s.content = content
		signature := s.make(t)
		for n := range signature {
			if _, err := Verify(signature[:n], []byte(content)); !errors.Is(err, ErrMalformed) {
				t.Fatalf("%d of %d bytes: %v", n, len(signature), err)
			}
		}
		if _, err := Verify(append(signature, 0), []byte(content)); !errors.Is(err, ErrMalformed) {
			t.Errorf("a byte too many: %v", err)
		}
	}
}

// TestEveryByteCounts changes each byte; what still verifies must say the same.
// Some bytes say nothing: version numbers, parameters, the list of digest
// algorithms, and the intermediate, whose chain is another question.
func TestEveryByteCounts(t *testing.T) {
	_, ec := signers()
	signature := spec{signer: ec, content: content, certificates: [][]byte{ec.Certificate.Raw}}.make(t)
	silent := 0
	for i := range signature {
		changed := slices.Clone(signature)
		changed[i] ^= 0x01
		got, err := Verify(changed, []byte(content))
		if err != nil {
			continue
		}
		silent++
		if !got.SigningTime.Equal(signedAt) || !bytes.Equal(got.Certificate.RawSubjectPublicKeyInfo, ec.Certificate.RawSubjectPublicKeyInfo) {
			t.Errorf("byte %d changes what was signed unseen", i)
		}
	}
	// The certificate's own contents are covered by its issuer's signature.
	if silent > len(ec.Certificate.Raw)+40 {
		t.Errorf("%d of %d bytes do not matter", silent, len(signature))
	}
}

// TestHostileShapes are the inputs that cost other readers their stack, or
// quadratic time.
func TestHostileShapes(t *testing.T) {
	deep := bytes.Repeat([]byte{tagSequence, 0x80}, MaxSignatureSize/2)
	wide := ber(tagSequence, bytes.Repeat([]byte{5, 0}, MaxSignatureSize/2-4))
	nested := []byte{5, 0}
	for range 2000 {
		nested = der(tagSequence, nested)
	}
	var halves []byte // each level scans the rest again
	for range maxDepth - 1 {
		halves = append(halves, tagSequence, 0x80)
	}
	halves = append(halves, bytes.Repeat([]byte{5, 0}, MaxSignatureSize/2-100)...)
	for name, input := range map[string][]byte{
		"empty": nil, "deep": deep, "wide": wide, "nested": nested, "scanned again": halves,
		"too large":       make([]byte, MaxSignatureSize+1),
		"length of 2^31":  {tagSequence, 0x84, 0x80, 0, 0, 0},
		"length of 2^64":  {tagSequence, 0x88, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF},
		"high tag":        {0x3F, 0x81, 0x01, 0},
		"primitive, 0x80": {0x02, 0x80, 0, 0},
		"text":            []byte("-----BEGIN PKCS7-----"),
		"a certificate":   cmstest.Apple().Root.Certificate.Raw,
		"enveloped data":  der(tagSequence, id("1.2.840.113549.1.7.3"), der(tagContext0, der(tagSequence))),
		"no signers":      der(tagSequence, id(oidSignedData), der(tagContext0, der(tagSequence, []byte{2, 1, 1}, der(tagSet), der(tagSequence, id(oidData)), der(tagSet)))),
	} {
		before := cputime.Used()
		if _, err := Verify(input, nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
		if took := cputime.Used() - before; took > time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func FuzzVerify(f *testing.F) {
	// EC only: each worker would spend its time making RSA keys.
	ec := cmstest.Apple().Issue(cmstest.Leaf{UID: "web.com.example", EC: true})
	for _, s := range []spec{
		{signer: ec}, {signer: ec, indefinite: true}, {signer: ec, noAttributes: true}, {signer: ec, keyID: true},
		{signer: ec, digest: "1.3.14.3.2.26", algorithm: "1.2.840.10045.4.1", unsorted: true}, {signer: ec, attached: true},
	} {
		s.content = content
		f.Add(s.make(f), []byte(content))
	}
	root := cmstest.Apple().Root.Certificate
	f.Fuzz(func(t *testing.T, signature, signed []byte) {
		got, err := Verify(signature, signed)
		if err != nil {
			for _, known := range []error{ErrMalformed, ErrNoCertificate, ErrContentChanged, ErrBadSignature} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("an error nobody can tell: %v", err)
		}
		if got.Certificate == nil || got.Digest == 0 || !slices.ContainsFunc(got.Certificates, got.Certificate.Equal) {
			t.Fatalf("half a result: %+v", got)
		}
		if _, err := Verify(signature, append(slices.Clone(signed), 1)); err == nil {
			t.Fatal("two contents have one signature")
		}
		got.VerifyChain(time.Now(), root)
	})
}

// TestLengths holds our lengths against encoding/asn1's.
func TestLengths(t *testing.T) {
	for _, n := range []int{0, 127, 128, 255, 256, 65535, 65536, MaxSignatureSize} {
		want := must(asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: make([]byte, n)}))
		if got := asSet(make([]byte, n)); !bytes.Equal(got, want) {
			t.Errorf("%d bytes begin with %x, not %x", n, got[:4], want[:4])
		}
	}
}

// FuzzElement compares the reader of single values with itself: what it takes
// it takes again, and nothing gets lost.
func FuzzElement(f *testing.F) {
	f.Add(der(tagSequence, []byte{5, 0}))
	f.Add(ber(tagSequence, ber(tagSet, []byte{5, 0}), []byte{1, 1, 0}))
	f.Add([]byte{4, 0x81, 1, 7, 9})
	f.Fuzz(func(t *testing.T, in []byte) {
		e, rest, err := next(in)
		if err != nil {
			return
		}
		if !bytes.Equal(append(slices.Clone(e.full), rest...), in) || len(e.body) > len(e.full)-2 || !bytes.Contains(e.full, e.body) {
			t.Fatalf("%x became %x and %x", in, e.full, rest)
		}
		again, none, err := next(e.full)
		if err != nil || len(none) != 0 || !bytes.Equal(again.body, e.body) {
			t.Fatalf("%x is read in two ways", in)
		}
	})
}
