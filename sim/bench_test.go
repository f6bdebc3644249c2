package sim

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"aviso.example/internal/memnet"
)

// BenchmarkLean measures the server alone: parsing, all checks and the answer,
// without TLS, sockets or a client.
func BenchmarkLean(b *testing.B) {
	for _, huffman := range []bool{true, false} {
		b.Run(map[bool]string{true: "huffman", false: "plain"}[huffman], func(b *testing.B) {
			s, err := New(Config{
				TrustAnyKey: true, Lean: true, Cleartext: true, UnauthenticatedMaxStreams: 1000, Certificate: anyCertificate,
				Now: func() time.Time { return time.Unix(1700000000, 0) },
			})
			if err != nil {
				b.Fatal(err)
			}
			feed := newFeed(b.N, huffman)
			b.ReportAllocs()
			c := newConn(s, feed, 1)
			c.serve()
			if c.count.Accepted != uint64(b.N) {
				b.Fatalf("%+v", c.count)
			}
		})
	}
}

// feed is a connection whose peer sends n pushes as fast as they are read, 100 at
// a time, and swallows the answers.
type feed struct {
	net.Conn
	first    []byte
	template []byte
	n        int
	id       uint32
	rest     []byte
}

func newFeed(n int, huffman bool) *feed {
	f := &feed{n: n, id: 1}
	var out, block bytes.Buffer
	out.WriteString(http2.ClientPreface)
	fr := http2.NewFramer(&out, nil)
	fr.WriteSettings()
	enc := hpack.NewEncoder(&block)
	// The form of a provider token nobody signed; TrustAnyKey looks no closer.
	enc64 := strings.NewReplacer(`{"alg":"ES256","kid":"KEYNUMBER1"}`, "eyJhbGciOiJFUzI1NiIsImtpZCI6IktFWU5VTUJFUjEifQ",
		`{"iss":"TEAMNUMBR1","iat":1700000000}`, "eyJpc3MiOiJURUFNTlVNQlIxIiwiaWF0IjoxNzAwMDAwMDAwfQ")
	bearer := "bearer " + enc64.Replace(`{"alg":"ES256","kid":"KEYNUMBER1"}.{"iss":"TEAMNUMBR1","iat":1700000000}`) + "." + strings.Repeat("A", 86)
	request := func(id uint32) {
		block.Reset()
		for _, hf := range []hpack.HeaderField{
			{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"},
			{Name: ":path", Value: "/3/device/00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0", Sensitive: true},
			{Name: "authorization", Value: bearer}, {Name: "apns-topic", Value: "com.example.app"}, {Name: "apns-push-type", Value: "alert"},
			{Name: "apns-id", Value: "eabeae54-14a8-11e5-b60b-1697f925ec7b", Sensitive: true},
		} {
			if huffman || !hf.Sensitive {
				enc.WriteField(hf)
				continue
			}
			block.WriteByte(0)
			for _, s := range []string{hf.Name, hf.Value} {
				block.WriteByte(byte(len(s)))
				block.WriteString(s)
			}
		}
		p := block.Bytes()
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p, EndHeaders: true})
		fr.WriteData(id, true, []byte(`{"aps":{"alert":{"title":"Game Request","body":"Bob wants to play poker with you tonight"},"badge":9,"sound":"default"},"gameID":"12345678"}`))
	}
	request(f.id)
	f.n--
	f.first = bytes.Clone(out.Bytes())
	out.Reset()
	request(1)
	f.template = bytes.Clone(out.Bytes())
	return f
}

func (f *feed) Read(p []byte) (int, error) {
	if f.first != nil {
		n := copy(p, f.first)
		f.first = nil
		return n, nil
	}
	if len(f.rest) == 0 {
		if f.n == 0 {
			return 0, io.EOF
		}
		for range min(f.n, 100) {
			f.id += 2
			at := len(f.rest)
			f.rest = append(f.rest, f.template...)
			frame := f.rest[at:]
			binary.BigEndian.PutUint32(frame[5:], f.id)
			data := 9 + int(frame[0])<<16 + int(frame[1])<<8 + int(frame[2])
			binary.BigEndian.PutUint32(frame[data+5:], f.id)
		}
		f.n -= min(f.n, 100)
	}
	n := copy(p, f.rest)
	f.rest = f.rest[:copy(f.rest, f.rest[n:])]
	return n, nil
}

func (*feed) Write(p []byte) (int, error)      { return len(p), nil }
func (*feed) Close() error                     { return nil }
func (*feed) SetDeadline(time.Time) error      { return nil }
func (*feed) SetReadDeadline(time.Time) error  { return nil }
func (*feed) SetWriteDeadline(time.Time) error { return nil }

// BenchmarkBinary measures the gateway of the binary protocol with TLS and a
// client that only writes, both on this machine.
func BenchmarkBinary(b *testing.B) {
	for _, lean := range []bool{true, false} {
		b.Run(map[bool]string{true: "lean", false: "recording"}[lean], func(b *testing.B) {
			s, err := New(Config{Lean: lean, Certificate: anyCertificate})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			l := memnet.Listen("bench")
			go s.ServeBinary(l)
			raw, err := l.Dial(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			nc := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{topicCertificate(b)}})
			frame := encodeNote(&binaryNote{
				command: 2, deviceToken: make([]byte, 32), payload: bytes.Repeat([]byte("x"), 170),
				hasIdentifier: true, identifier: 1, hasPriority: true, priority: 10,
			})
			const batch = 64
			frames := bytes.Repeat(frame, batch)
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			b.ResetTimer()
			for left := b.N; left > 0; left -= batch {
				if _, err := nc.Write(frames[:len(frame)*min(batch, left)]); err != nil {
					b.Fatal(err)
				}
			}
			nc.CloseWrite()
			if _, err := io.ReadAll(nc); err != nil {
				b.Fatal(err)
			}
			if st := s.Stats().Binary; st.Accepted != uint64(b.N) {
				b.Fatalf("%+v", st)
			}
		})
	}
}
