package h2

import (
	"fmt"
	"testing"

	"golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"
)

// x/net's decoder, which shares nothing with the encoder, must read back every
// section in order, whatever table sizes and constant fields come and go.
func TestEncoderAgainstDecoder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SliceOfN(rapid.Byte(), 0, 300)
		fields := func(label string, names ...string) (out []Field) {
			for _, name := range names {
				if rapid.Bool().Draw(t, label+" has "+name) {
					out = append(out, Field{name, value.Draw(t, label+" "+name)})
				}
			}
			return out
		}
		e := newEncoder(fields("common", ":authority", "authorization", "user-agent"))
		var got []hpack.HeaderField
		d := hpack.NewDecoder(4096, func(f hpack.HeaderField) { got = append(got, f) })
		var heads []*Head
		for i := range 4 {
			heads = append(heads, NewHead(fields(fmt.Sprint("head", i), ":method", ":scheme", "apns-topic", "apns-push-type", "x-long-name")...))
		}
		for step := range 30 {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				e.setMax(rapid.Uint32Range(0, 5000).Draw(t, "table size"))
			case 1:
				e.setCommon(fields("common", ":authority", "authorization", "user-agent"))
			}
			c := &Call{
				Head: rapid.SampledFrom(heads).Draw(t, "head"),
				Path: value.Draw(t, "path"), Fields: fields("call", "apns-id", "apns-expiration", "apns-collapse-id"),
			}
			got = nil
			block := e.encode(nil, c)
			if _, err := d.Write(block); err != nil {
				t.Fatalf("step %d: %v", step, err)
			}
			if err := d.Close(); err != nil {
				t.Fatalf("step %d: %v", step, err)
			}
			checkSection(t, e.common, c, got)
			var size uint32
			for _, f := range got {
				size += f.Size()
			}
			if size != e.sectionSize(c) {
				t.Fatalf("sectionSize is %d, the decoder counts %d", e.sectionSize(c), size)
			}
			if e.size > e.max {
				t.Fatalf("the table holds %d of %d bytes", e.size, e.max)
			}
		}
	})
}

func checkSection(t *rapid.T, common []Field, c *Call, got []hpack.HeaderField) {
	want := map[string]string{":path": string(c.Path)}
	for _, fields := range [][]Field{common, c.Head.fields, c.Fields} {
		for _, f := range fields {
			want[f.Name] = string(f.Value)
		}
	}
	regular := false
	for _, f := range got {
		if v, ok := want[f.Name]; !ok || v != f.Value {
			t.Fatalf("%s: got %q, want %q", f.Name, f.Value, v)
		}
		delete(want, f.Name)
		if f.Name[0] != ':' {
			regular = true
		} else if regular {
			t.Fatalf("%s comes after a regular field", f.Name)
		}
	}
	if len(want) > 0 {
		t.Fatalf("missing: %v", want)
	}
}

// In the steady state a request's constant part is a handful of bytes, and no
// value of its own enters the table.
func TestSteadyStateSize(t *testing.T) {
	e := newEncoder([]Field{
		{":authority", []byte("api.push.apple.com")}, {"authorization", make([]byte, 300)},
	})
	var last int
	for i := range 5 {
		last = len(e.encode(nil, newCall(i, "")))
	}
	path, id := 1+1+len("/3/device/")+64, 2+1+36 // index, length, bytes; indices over 14 take two bytes
	if want := 5 + path + id; last != want {
		t.Errorf("the fifth section takes %d bytes, want %d", last, want)
	}
	if len(e.table) != 4 {
		t.Errorf("the table holds %d entries, want authority, authorization, topic and the first apns-id", len(e.table))
	}
}

func BenchmarkEncode(b *testing.B) {
	e := newEncoder([]Field{
		{":authority", []byte("api.push.apple.com")}, {"authorization", make([]byte, 300)},
	})
	c := newCall(1, "")
	buf := e.encode(nil, c)
	b.ReportAllocs()
	for b.Loop() {
		buf = e.encode(buf[:0], c)
	}
}
