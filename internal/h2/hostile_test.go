package h2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"aviso.example/internal/memnet"
)

// Each peer breaks exactly one rule on an open stream 1; the connection must end
// with the right code, tell the peer so, and give the call back.
func TestPeersThatBreakOneRule(t *testing.T) {
	raw := func(kind http2.FrameType, flags http2.Flags, id uint32, payload ...byte) func(*rig) {
		return func(r *rig) { r.check(r.fr.WriteRawFrame(kind, flags, id, payload)) }
	}
	tests := map[string]struct {
		code http2.ErrCode
		play func(*rig)
	}{
		"DATA on stream 0":                   {http2.ErrCodeProtocol, raw(http2.FrameData, 0, 0, 'x')},
		"DATA on an idle stream":             {http2.ErrCodeProtocol, raw(http2.FrameData, 0, 9, 'x')},
		"DATA on an even stream":             {http2.ErrCodeProtocol, raw(http2.FrameData, 0, 2, 'x')},
		"DATA padded beyond its end":         {http2.ErrCodeProtocol, raw(http2.FrameData, http2.FlagDataPadded, 1, 5, 'x')},
		"HEADERS on an idle stream":          {http2.ErrCodeProtocol, raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 11, 0x88)},
		"HEADERS padded beyond its end":      {http2.ErrCodeProtocol, raw(http2.FrameHeaders, http2.FlagHeadersPadded, 1, 5, 'x')},
		"HEADERS too short for its priority": {http2.ErrCodeFrameSize, raw(http2.FrameHeaders, http2.FlagHeadersPriority, 1, 0)},
		"HEADERS that HPACK cannot decode":   {http2.ErrCodeCompression, raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, 0xff, 0xff, 0xff)},
		"HEADERS cut off within a field":     {http2.ErrCodeCompression, raw(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, 0x40, 3, 'a')},
		"CONTINUATION without HEADERS":       {http2.ErrCodeProtocol, raw(http2.FrameContinuation, 0, 1, 'x')},
		"RST_STREAM on an idle stream":       {http2.ErrCodeProtocol, raw(http2.FrameRSTStream, 0, 7, 0, 0, 0, 0)},
		"RST_STREAM of a wrong size":         {http2.ErrCodeFrameSize, raw(http2.FrameRSTStream, 0, 1, 0)},
		"SETTINGS with server push":          {http2.ErrCodeProtocol, raw(http2.FrameSettings, 0, 0, 0, 2, 0, 0, 0, 1)},
		"SETTINGS of a wrong size":           {http2.ErrCodeFrameSize, raw(http2.FrameSettings, 0, 0, 1)},
		"SETTINGS with a huge window":        {http2.ErrCodeFlowControl, raw(http2.FrameSettings, 0, 0, 0, 4, 0xff, 0, 0, 0)},
		"SETTINGS with a tiny frame size":    {http2.ErrCodeProtocol, raw(http2.FrameSettings, 0, 0, 0, 5, 0, 0, 0, 1)},
		"SETTINGS on a stream":               {http2.ErrCodeProtocol, raw(http2.FrameSettings, 0, 1)},
		"PING of a wrong size":               {http2.ErrCodeFrameSize, raw(http2.FramePing, 0, 0, 1)},
		"GOAWAY on a stream":                 {http2.ErrCodeProtocol, raw(http2.FrameGoAway, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)},
		"GOAWAY too short":                   {http2.ErrCodeFrameSize, raw(http2.FrameGoAway, 0, 0, 0)},
		"PUSH_PROMISE":                       {http2.ErrCodeProtocol, raw(http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, 1, 0, 0, 0, 2, 0x88)},
		"WINDOW_UPDATE of zero":              {http2.ErrCodeProtocol, raw(http2.FrameWindowUpdate, 0, 0, 0, 0, 0, 0)},
		"WINDOW_UPDATE beyond the maximum":   {http2.ErrCodeFlowControl, raw(http2.FrameWindowUpdate, 0, 0, 0x7f, 0xff, 0xff, 0xff)},
		"WINDOW_UPDATE on an idle stream":    {http2.ErrCodeProtocol, raw(http2.FrameWindowUpdate, 0, 21, 0, 0, 0, 1)},
		"a frame larger than was allowed":    {http2.ErrCodeFrameSize, raw(http2.FrameData, 0, 1, make([]byte, 16385)...)},
		"HEADERS interrupted by another frame": {http2.ErrCodeProtocol, func(r *rig) {
			r.check(r.fr.WriteRawFrame(http2.FrameHeaders, 0, 1, []byte{0x88}))
			r.check(r.fr.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, 8)))
		}},
		"CONTINUATION without end": {http2.ErrCodeEnhanceYourCalm, func(r *rig) {
			r.check(r.fr.WriteRawFrame(http2.FrameHeaders, 0, 1, []byte{0x88}))
			for range 4 {
				if r.fr.WriteRawFrame(http2.FrameContinuation, 0, 1, make([]byte, 16000)) != nil {
					return
				}
			}
		}},
		"more DATA than the window": {http2.ErrCodeFlowControl, func(r *rig) {
			r.conn.mu.Lock() // as if much had come that could not be credited yet
			r.conn.recvWindow = 100
			r.conn.mu.Unlock()
			r.check(r.fr.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 101)))
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := ready(t, Config{})
				r.submit(newCall(1, "x"))
				r.request()
				test.play(r)
				for {
					f, err := r.fr.ReadFrame()
					if err != nil {
						t.Fatalf("no GOAWAY: %v", err)
					}
					if g, ok := f.(*http2.GoAwayFrame); ok {
						if g.ErrCode != test.code {
							t.Errorf("GOAWAY with %v, want %v", g.ErrCode, test.code)
						}
						break
					}
				}
				if p, ok := errors.AsType[*ProtocolError](r.failure(r.result())); !ok || p.Code != test.code {
					t.Errorf("the call ended with %v", p)
				}
				<-r.conn.Done()
			})
		})
	}
}

// Answers that break HTTP end their stream only.
func TestMalformedAnswers(t *testing.T) {
	long := string(bytes.Repeat([]byte("v"), 9000))
	for name, play := range map[string]func(*rig){
		"no status":                func(r *rig) { r.answer(1, true, "apns-id", "x") },
		"two statuses":             func(r *rig) { r.answer(1, true, ":status", "200", ":status", "200") },
		"status after a field":     func(r *rig) { r.answer(1, true, "a", "b", ":status", "200") },
		"status of two digits":     func(r *rig) { r.answer(1, true, ":status", "20") },
		"status that is no number": func(r *rig) { r.answer(1, true, ":status", "2x0") },
		"status 101":               func(r *rig) { r.answer(1, false, ":status", "101") },
		"informational with end":   func(r *rig) { r.answer(1, true, ":status", "100") },
		"capitals in a name":       func(r *rig) { r.answer(1, true, ":status", "200", "Apns-Id", "x") },
		"a request's pseudo field": func(r *rig) { r.answer(1, true, ":status", "200", ":path", "/") },
		"a space in a name":        func(r *rig) { r.answer(1, true, ":status", "200", "a b", "x") },
		"an empty name":            func(r *rig) { r.answer(1, true, ":status", "200", "", "x") },
		"a huge section":           func(r *rig) { r.answer(1, true, ":status", "200", "a", long, "b", long) },
		"DATA before HEADERS":      func(r *rig) { r.check(r.fr.WriteData(1, true, nil)) },
		"a second final HEADERS":   func(r *rig) { r.answer(1, false, ":status", "200"); r.answer(1, true, ":status", "200") },
		"trailers without end":     func(r *rig) { r.answer(1, false, ":status", "200"); r.answer(1, false, "a", "b") },
		"WINDOW_UPDATE of zero":    func(r *rig) { r.check(r.fr.WriteRawFrame(http2.FrameWindowUpdate, 0, 1, make([]byte, 4))) },
		"WINDOW_UPDATE too large":  func(r *rig) { r.check(r.fr.WriteWindowUpdate(1, 1<<31-1)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := ready(t, Config{})
				r.submit(newCall(1, "x"))
				r.request()
				play(r)
				if e, ok := errors.AsType[*ResetError](r.failure(r.result())); !ok || !e.Local {
					t.Errorf("ended with %v", e)
				}
				if f := read[*http2.RSTStreamFrame](r); f.StreamID != 1 {
					t.Error(f)
				}
				r.submit(newCall(2, "x"))
				id, _, _ := r.request()
				r.answer(id, true, ":status", "200")
				if c := r.result(); c.Err != nil {
					t.Error("the connection did not go on:", c.Err)
				}
			})
		})
	}
}

func TestPeersThatDoNotSpeakHTTP2(t *testing.T) {
	for name, first := range map[string]string{
		"HTTP/1":       "HTTP/1.1 400 Bad Request\r\n\r\n",
		"wrong frame":  "\x00\x00\x00\x04\x01\x00\x00\x00\x00",
		"PING first":   "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678",
		"SMTP":         "220 mail.example ESMTP ready\r\n",
		"nothing, EOF": "",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, Config{})
				io.WriteString(r.net, first)
				if first == "" {
					r.net.Close()
				}
				<-r.conn.Done()
				if s := r.conn.Status(); s.Err == nil || s.Ready {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// A peer that makes us owe it answers it never reads.
func TestFloodsAreBounded(t *testing.T) {
	for name, frame := range map[string][]byte{
		"PING":     append([]byte{0, 0, 8, 6, 0, 0, 0, 0, 0}, make([]byte, 8)...),
		"SETTINGS": {0, 0, 0, 4, 0, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := ready(t, Config{})
				flood := bytes.Repeat(frame, 1000)
				for range 100 {
					if _, err := r.net.Write(flood); err != nil {
						break
					}
				}
				<-r.conn.Done()
				err := r.conn.Status().Err
				if p, ok := errors.AsType[*ProtocolError](err); !ok || p.Code != http2.ErrCodeEnhanceYourCalm {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

// transcript is what a correct peer says to three requests.
func transcript() []byte {
	var b bytes.Buffer
	fr := http2.NewFramer(&b, nil)
	fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 10})
	fr.WriteSettingsAck()
	fr.WriteWindowUpdate(0, 1000)
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}, EndHeaders: true, EndStream: true})
	fr.WritePing(false, [8]byte{1})
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: []byte{0x8c}, PadLength: 2})
	fr.WriteContinuation(3, true, nil)
	fr.WriteData(3, true, []byte(`{"reason":"BadDeviceToken"}`))
	fr.WriteRSTStream(5, http2.ErrCodeRefusedStream)
	fr.WriteGoAway(5, http2.ErrCodeNo, []byte(`{"reason":"Shutdown"}`))
	return b.Bytes()
}

// converse lets a peer say the given bytes, then close, and checks that three
// calls end exactly once each.
func converse(t *testing.T, said []byte) {
	ours, theirs := memnet.Pipe("client", "peer")
	r := &rig{t: t, ended: map[*Call]int{}, results: make(chan *Call, 100)}
	for i := range 3 {
		r.queue = append(r.queue, newCall(i, "x"))
	}
	r.conn = New(ours, Config{Source: r, Handler: r, Common: []Field{{":authority", []byte("a")}}, Keep: []string{"apns-id"}})
	go io.Copy(io.Discard, theirs)
	// Settings first, so that streams are open when the rest arrives.
	settings := min(len(said), frameHeaderLen+6)
	theirs.Write(said[:settings])
	synctest.Wait()
	theirs.Write(said[settings:])
	synctest.Wait()
	theirs.Close()
	<-r.conn.Done()
	if n := len(r.queue) + len(r.ended); n != 3 {
		t.Fatalf("%d calls in the queue and %d ended, want 3 in all", len(r.queue), len(r.ended))
	}
	for c, n := range r.ended {
		if n != 1 || c.Err == nil && c.Status == 0 {
			t.Fatalf("ended %d times, status %d, %v", n, c.Status, c.Err)
		}
	}
}

func TestTruncationAtEveryByte(t *testing.T) {
	whole := transcript()
	for n := range len(whole) + 1 {
		synctest.Test(t, func(t *testing.T) { converse(t, whole[:n]) })
	}
}

func TestEveryByteFlipped(t *testing.T) {
	whole := transcript()
	for n := range whole {
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			said := bytes.Clone(whole)
			said[n] ^= flip
			synctest.Test(t, func(t *testing.T) { converse(t, said) })
		}
	}
}

func FuzzPeer(f *testing.F) {
	whole := transcript()
	f.Add(whole)
	f.Add(whole[:40])
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	for _, kind := range []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10} {
		f.Add(append(bytes.Clone(whole[:15]), binary.BigEndian.AppendUint32([]byte{0, 0, 4, kind, 5, 0, 0, 0, 1}, 7)...))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		synctest.Test(t, func(t *testing.T) { converse(t, said) })
	})
}
