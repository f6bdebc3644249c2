package sim

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"aviso.example/internal/memnet"
)

// FuzzProviderToken feeds the verification: nothing but one signed by the
// key passes, and the form alone never panics.
func FuzzProviderToken(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	sign := func(kid, iss string, claims jwt.MapClaims) string {
		claims["iss"] = iss
		tok := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
		tok.Header["kid"] = kid
		s, err := tok.SignedString(key)
		if err != nil {
			f.Fatal(err)
		}
		return s
	}
	good := sign("KEYNUMBER1", "TEAMNUMBR1", jwt.MapClaims{"iat": 1700000000})
	f.Add(good)
	f.Add(sign("KEYNUMBER1", "TEAMNUMBR1", jwt.MapClaims{"iat": "1700000000000"}))
	f.Add(sign("OTHERKEY11", "OTHERTEAM1", jwt.MapClaims{"iat": 1e300}))
	f.Add(sign("", "", jwt.MapClaims{"iat": -1}))
	for _, s := range []string{"", ".", "..", "a.b.c", good[:len(good)-1], good + "A", strings.Replace(good, ".", "..", 1), "eyJhbGciOiJub25lIn0.e30."} {
		f.Add(s)
	}
	cfg := Config{Keys: []Key{{KeyID: "KEYNUMBER1", TeamID: "TEAMNUMBR1", Public: &key.PublicKey}}, TrustAnyKey: true}
	s, err := New(cfg)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value string) {
		pt := s.readProviderToken(value)
		if pt.reason == "" && pt.key != nil {
			parts := strings.Split(value, ".")
			if len(parts) != 3 {
				t.Fatalf("accepted %q", value)
			}
			if _, err := jwt.Parse(value, func(*jwt.Token) (any, error) { return &key.PublicKey, nil }, jwt.WithoutClaimsValidation()); err != nil {
				sig, _ := providerTokenParser.DecodeSegment(parts[2])
				if _, der := rawSignature(sig); !der {
					t.Fatalf("accepted %q: %v", value, err)
				}
			}
		}
		s.judgeAge(pt, time.Unix(1700000000, 0))
	})
}

// FuzzConnection feeds raw bytes into a connection without TLS: it must not
// panic, hang or leave a goroutine.
func FuzzConnection(f *testing.F) {
	frames := func(write func(fr *http2.Framer, block func(...string) []byte)) []byte {
		var out, b bytes.Buffer
		out.WriteString(http2.ClientPreface)
		fr := http2.NewFramer(&out, nil)
		fr.AllowIllegalWrites = true
		fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 3})
		enc := hpack.NewEncoder(&b)
		write(fr, func(fields ...string) []byte {
			b.Reset()
			for i := 0; i < len(fields); i += 2 {
				enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
			}
			return b.Bytes()
		})
		return out.Bytes()
	}
	request := []string{":method", "POST", ":scheme", "https", ":path", "/3/device/" + strings.Repeat("ab", 32), "apns-topic", "com.example.app"}
	f.Add(frames(func(fr *http2.Framer, block func(...string) []byte) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(request...), EndHeaders: true})
		fr.WriteData(1, true, []byte(`{"aps":{}}`))
		fr.WriteWindowUpdate(1, 100)
	}), false)
	f.Add(frames(func(fr *http2.Framer, block func(...string) []byte) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(request...), PadLength: 9})
		fr.WriteContinuation(1, true, block("authorization", "bearer x.y.z"))
		fr.WriteDataPadded(1, false, []byte("x"), make([]byte, 9))
		fr.WriteRSTStream(1, http2.ErrCodeCancel)
		fr.WriteData(1, true, []byte("late"))
		fr.WritePing(false, [8]byte{1})
		fr.WritePriority(3, http2.PriorityParam{StreamDep: 3})
		fr.WriteGoAway(0, http2.ErrCodeNo, []byte("bye"))
	}), false)
	f.Add(frames(func(fr *http2.Framer, block func(...string) []byte) {
		for id := uint32(1); id < 40; id += 2 {
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(request...), EndHeaders: true})
		}
		fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
		fr.WriteWindowUpdate(0, 1<<31-1)
	}), false)
	f.Add([]byte("\x01\x04\x01\x03\x83\x87\x84\x00\x01\x01\x02{}\x08\x00\x01\x04\x00\x00\x00\x01\x03\x00\x01\x04\x00\x00\x00\x08"), true)
	seeds := []string{"GET / HTTP/1.1\r\n\r\n", http2.ClientPreface}
	for _, s := range seeds {
		f.Add([]byte(s), false)
	}
	code := http2.ErrCodeRefusedStream
	f.Fuzz(func(t *testing.T, data []byte, shaped bool) {
		if shaped {
			data = shape(data)
		}
		s, err := New(Config{TrustAnyKey: true, Cleartext: true, UnauthenticatedMaxStreams: 3, Certificate: anyCertificate, Guesses: Guesses{ShrinkAfterRejection: true, ErrorLimit: 10}})
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range []Fault{
			{Kind: FaultContinuation, Every: 3}, {Kind: FaultPadding, Every: 2}, {Kind: FaultTrailers, Every: 4},
			{Kind: FaultResetStream, Nth: 5, Code: &code}, {Kind: FaultSilence, Nth: 6}, {Kind: FaultSettings, Nth: 4, Settings: SettingsChange{MaxStreams: new(uint32(1))}},
		} {
			if _, err := s.AddFault(fault); err != nil {
				t.Fatal(err)
			}
		}
		l := memnet.Listen("fuzz")
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		nc, err := l.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			io.Copy(io.Discard, nc)
		}()
		nc.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := nc.Write(data); err != nil {
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				t.Error("the server stopped reading")
			}
		}
		nc.Close()
		<-drained
		deadline := time.Now().Add(10 * time.Second)
		for s.Stats().ConnectionsOpen > 0 {
			if time.Now().After(deadline) {
				t.Fatal("the connection does not end")
			}
			time.Sleep(10 * time.Microsecond)
		}
		s.Close()
		if err := <-served; !errors.Is(err, ErrServerClosed) {
			t.Error(err)
		}
	})
}

// shape turns arbitrary bytes into well-framed frames, since lengths that fit are
// rarely found by chance: type, flags, stream, length, payload.
func shape(data []byte) []byte {
	out := bytes.NewBufferString(http2.ClientPreface)
	fr := http2.NewFramer(out, nil)
	fr.AllowIllegalWrites = true
	fr.WriteSettings()
	for len(data) >= 4 {
		n := min(int(data[3]), len(data)-4)
		fr.WriteRawFrame(http2.FrameType(data[0]%11), http2.Flags(data[1]), uint32(data[2]), data[4:4+n])
		data = data[4+n:]
	}
	return out.Bytes()
}

var anyCertificate = func() *tls.Certificate {
	cert, _, err := makeCertificate(nil, time.Now())
	if err != nil {
		panic(err)
	}
	return &cert
}()

// FuzzTestAPI feeds bodies to every route that takes one: the answer is JSON, an
// error is a problem, and none is the server's fault.
func FuzzTestAPI(f *testing.F) {
	for _, s := range []string{
		`{"kind":"delay","delay":"5s","jitter":"1ms","topic":"a","every":2,"burst":3}`,
		`{"kind":"goaway","last_stream":0,"code":"NO_ERROR","reason":"Shutdown","double":true}`,
		`{"kind":"settings","settings":{"max_streams":1},"restore_after":"1s","now":true}`,
		`[{"kind":"answer","status":503,"probability":0.5}]`, `{"faults":[{"kind":"silence"}]}`,
		`{"device_token":"abcd","state":"unregistered","since":"2021-01-01T00:00:00Z","throttle":{"limit":1,"per":"1s"}}`,
		`{"kind":"error_packet","binary_status":10,"identifier":7,"processed":true,"protocol":"binary"}`,
		`{"kind":"cut_packet","bytes":5}`, `{"topic":"a","device_token":"ab","time":"2021-01-01T00:00:00Z"}`,
		`[{"device_token":"ab"}]`, `{"offset":"-2h"}`, `{"offset":null}`, `null`, `[]`, `{}`, ` `, `[[[`, `{"kind":1e999}`,
	} {
		f.Add(s)
	}
	routes := [][2]string{
		{"POST", "/sim/v1/faults"}, {"PUT", "/sim/v1/faults"}, {"POST", "/sim/v1/devices"},
		{"PUT", "/sim/v1/devices/abcd"}, {"PUT", "/sim/v1/clock"}, {"POST", "/sim/v1/feedback"},
	}
	s, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	h := s.Handler()
	f.Fuzz(func(t *testing.T, body string) {
		for _, route := range routes {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(route[0], "http://localhost"+route[1], strings.NewReader(body)))
			if w.Code >= 500 || w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
				t.Errorf("%v with %q: %d %s", route, body, w.Code, w.Body)
			}
			if w.Code >= 400 && w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%v with %q: %s", route, body, w.Header())
			}
		}
		s.ClearFaults()
		s.devices.Clear()
		s.ClearFeedback()
	})
}
