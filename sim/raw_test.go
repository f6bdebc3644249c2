package sim_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"aviso.example/apnstest"
	apnsproto "aviso.example/internal/proto"
)

// raw is a client made of nothing but x/net's Framer, so that it can break one
// rule at a time.
type raw struct {
	greeted bool // the first SETTINGS have been read
	t       testing.TB
	apns    *apnstest.Server
	nc      net.Conn
	fr      *http2.Framer
	buf     bytes.Buffer
	enc     *hpack.Encoder
	next    uint32

	bearer string
}

// dialRaw connects, sends the preface and SETTINGS, and reads the server's
// SETTINGS, which it returns.
func dialRaw(t testing.TB, apns *apnstest.Server, settings ...http2.Setting) (*raw, map[http2.SettingID]uint32) {
	t.Helper()
	r := dialOnly(t, apns, nil)
	r.preface(settings...)
	return r, r.settings()
}

func dialOnly(t testing.TB, apns *apnstest.Server, cert *tls.Certificate) *raw {
	t.Helper()
	nc, err := apns.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg := apns.TLSConfig()
	if cert != nil {
		cfg.Certificates = []tls.Certificate{*cert}
	}
	tc := tls.Client(nc, cfg)
	t.Cleanup(func() { nc.Close() })
	r := &raw{t: t, apns: apns, nc: tc, next: 1}
	r.init(tc, tc)
	if cert == nil {
		r.bearer = "bearer " + apns.ProviderToken(t)
	}
	return r
}

func (r *raw) init(w io.Writer, rd io.Reader) {
	r.enc = hpack.NewEncoder(&r.buf)
	r.fr = http2.NewFramer(w, rd)
	r.fr.AllowIllegalWrites = true
	r.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
}

func (r *raw) preface(settings ...http2.Setting) {
	r.t.Helper()
	if _, err := io.WriteString(r.nc, http2.ClientPreface); err != nil {
		r.t.Fatal(err)
	}
	r.must(r.fr.WriteSettings(settings...))
}

func (r *raw) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// read returns the next frame, or fails the test.
func (r *raw) read() http2.Frame {
	r.t.Helper()
	f, err := r.tryRead(10 * time.Second)
	if err != nil {
		r.t.Fatalf("reading a frame: %v", err)
	}
	return f
}

func (r *raw) tryRead(wait time.Duration) (http2.Frame, error) {
	r.nc.SetReadDeadline(time.Now().Add(wait))
	return r.fr.ReadFrame()
}

// settings reads until the server's SETTINGS and acknowledges them. They have to
// come before anything else (RFC 9113 section 3.4).
func (r *raw) settings() map[http2.SettingID]uint32 {
	r.t.Helper()
	for seen := 0; ; seen++ {
		if seen > 0 && !r.greeted {
			r.t.Fatal("the server's first frame is not SETTINGS")
		}
		if f, ok := r.read().(*http2.SettingsFrame); ok && !f.IsAck() {
			got := map[http2.SettingID]uint32{}
			f.ForeachSetting(func(s http2.Setting) error { got[s.ID] = s.Val; return nil })
			r.must(r.fr.WriteSettingsAck())
			r.greeted = true
			return got
		}
	}
}

// headers encodes a request's fields. Overrides with an empty value remove one.
func (r *raw) headers(over ...string) []byte {
	fields := [][2]string{
		{":method", "POST"}, {":scheme", "https"}, {":path", "/3/device/" + r.apns.DeviceToken}, {":authority", "localhost"},
		{"apns-topic", r.apns.Topic}, {"apns-push-type", "alert"},
	}
	if r.bearer != "" {
		fields = append(fields, [2]string{"authorization", r.bearer})
	}
	for i := 0; i < len(over); i += 2 {
		found := false
		for j := range fields {
			if fields[j][0] == over[i] {
				fields[j][1], found = over[i+1], true
			}
		}
		if !found {
			fields = append(fields, [2]string{over[i], over[i+1]})
		}
	}
	r.buf.Reset()
	for _, f := range fields {
		if f[1] != "" {
			r.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
	}
	return r.buf.Bytes()
}

const smallPayload = `{"aps":{"alert":"Hello"}}`

// open sends HEADERS without END_STREAM and returns the stream's id.
func (r *raw) open(over ...string) uint32 {
	r.t.Helper()
	id := r.next
	r.next += 2
	r.must(r.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: r.headers(over...), EndHeaders: true}))
	return id
}

// push sends a whole request.
func (r *raw) push(over ...string) uint32 {
	r.t.Helper()
	id := r.open(over...)
	r.must(r.fr.WriteData(id, true, []byte(smallPayload)))
	return id
}

// response is an answer as read from the wire.
type response struct {
	id      uint32
	status  string
	header  map[string]string
	body    string
	trailer map[string]string
	early   []string // 1xx
	frames  []string
	padded  int // frames with padding
}

func (a response) reason() string {
	var v struct{ Reason string }
	json.Unmarshal([]byte(a.body), &v)
	return v.Reason
}

// answer reads until the stream has ended, and fails on anything but its own
// frames, SETTINGS, WINDOW_UPDATE and PING.
func (r *raw) answer(id uint32) response {
	r.t.Helper()
	a := response{id: id, header: map[string]string{}}
	for {
		f := r.read()
		a.frames = append(a.frames, f.Header().Type.String())
		if k := f.Header().Type; (k == http2.FrameHeaders || k == http2.FrameData) && f.Header().Flags.Has(http2.FlagDataPadded) {
			a.padded++
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID != id {
				r.t.Fatalf("answer to stream %d while waiting for %d", f.StreamID, id)
			}
			switch status := f.PseudoValue("status"); {
			case status == "":
				a.trailer = map[string]string{}
				for _, hf := range f.RegularFields() {
					a.trailer[hf.Name] = hf.Value
				}
			case status[0] == '1':
				a.early = append(a.early, status)
				continue
			default:
				a.status = status
				for _, hf := range f.RegularFields() {
					a.header[hf.Name] = hf.Value
				}
			}
			if f.StreamEnded() {
				return a
			}
		case *http2.DataFrame:
			a.body += string(f.Data())
			if f.StreamEnded() {
				return a
			}
		case *http2.SettingsFrame:
			if !f.IsAck() {
				r.must(r.fr.WriteSettingsAck())
			}
		case *http2.WindowUpdateFrame, *http2.PingFrame:
		default:
			r.t.Fatalf("unexpected frame %v", f)
		}
	}
}

// expectReset reads until RST_STREAM for the stream.
func (r *raw) expectReset(id uint32, code http2.ErrCode) {
	r.t.Helper()
	for {
		switch f := r.read().(type) {
		case *http2.RSTStreamFrame:
			if f.StreamID != id || f.ErrCode != code {
				r.t.Fatalf("reset of %d with %v, not of %d with %v", f.StreamID, f.ErrCode, id, code)
			}
			return
		case *http2.GoAwayFrame:
			r.t.Fatalf("GOAWAY %v %q instead of a reset", f.ErrCode, f.DebugData())
		case *http2.MetaHeadersFrame:
			r.t.Fatalf("an answer %v instead of a reset", f)
		}
	}
}

// goAway is a GOAWAY as read.
type goAway struct {
	last  uint32
	code  http2.ErrCode
	debug string
}

// expectGoAway reads until GOAWAY.
func (r *raw) expectGoAway() goAway {
	r.t.Helper()
	for {
		if f, ok := r.read().(*http2.GoAwayFrame); ok {
			return goAway{f.LastStreamID, f.ErrCode, string(f.DebugData())}
		}
	}
}

// expectEnd reads until the connection is closed and returns the error.
func (r *raw) expectEnd() error {
	r.t.Helper()
	for {
		_, err := r.tryRead(15 * time.Second)
		if err == nil {
			continue
		}
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			r.t.Fatal("the connection stays open")
		}
		return err
	}
}

// expectSilence makes sure that nothing comes for a while (use in a bubble).
func (r *raw) expectSilence(d time.Duration) {
	r.t.Helper()
	for {
		f, err := r.tryRead(d)
		if err == nil {
			if s, ok := f.(*http2.SettingsFrame); ok {
				if !s.IsAck() {
					r.fr.WriteSettingsAck()
				}
				continue
			}
			r.t.Fatalf("not silent: %v", f)
		}
		if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
			r.t.Fatalf("not silent: %v", err)
		}
		return
	}
}

func deviceToken(n int) string { return fmt.Sprintf("%064x", n) }

func longID(n int) string {
	s := strings.Repeat("0", 32-8) + fmt.Sprintf("%08x", n)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// proto names a reason where the word alone would be a string.
func proto(reason string) apnsproto.Reason { return apnsproto.Reason(reason) }

// field encodes one more field of the same block.
func (r *raw) field(name, value string) []byte {
	r.buf.Reset()
	r.enc.WriteField(hpack.HeaderField{Name: name, Value: value})
	return r.buf.Bytes()
}
