package sim

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/net/http2/hpack"
)

func FuzzPlainBlock(f *testing.F) {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for _, v := range []string{"/3/device/00fc13adff785122b4ad", "~", "", "a\x00b", "{}", "zzzzzzzzzzzzzzzzzzzz", string(make([]byte, 200)), string(bytes.Repeat([]byte("provider"), 40))} {
		enc.WriteField(hpack.HeaderField{Name: ":path", Value: v, Sensitive: true})
		enc.WriteField(hpack.HeaderField{Name: "x-new", Value: v, Sensitive: true})
		enc.WriteField(hpack.HeaderField{Name: "apns-topic", Value: v})
		f.Add(bytes.Clone(b.Bytes()))
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		decode := func(p []byte) ([]hpack.HeaderField, error) {
			d := hpack.NewDecoder(4096, nil)
			d.SetMaxStringLength(32000)
			return d.DecodeFull(p)
		}
		want, wantErr := decode(block)
		var p plainer
		plain := p.block(bytes.Clone(block))
		if again := p.block(bytes.Clone(block)); !bytes.Equal(again, plain) {
			t.Errorf("%x became %x, then %x", block, plain, again)
		}
		got, gotErr := decode(plain)
		if (wantErr == nil) != (gotErr == nil) || wantErr == nil && !slices.Equal(got, want) {
			t.Errorf("%x became %x: %v %v, want %v %v", block, plain, got, gotErr, want, wantErr)
		}
	})
}

func TestPlainBlockIsUsed(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	long := bytes.Repeat([]byte("eyJhbGciOiJFUzI1NiIsImtpZCI6"), 8)
	var p plainer
	for range 1000 {
		path := []byte("/3/device/")
		for range 64 {
			path = append(path, "0123456789abcdef"[rng.IntN(16)])
		}
		b.Reset()
		enc.WriteField(hpack.HeaderField{Name: ":path", Value: string(path), Sensitive: true})
		enc.WriteField(hpack.HeaderField{Name: "authorization", Value: string(long), Sensitive: true})
		plain := p.block(b.Bytes())
		if !bytes.Contains(plain, path) || !bytes.Contains(plain, long) {
			t.Fatalf("%x was not rewritten", b.Bytes())
		}
	}
}
