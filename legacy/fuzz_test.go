package legacy_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"aviso.example/legacy"
)

// FuzzDecoder: whatever comes, the decoder ends, gives the same frames however
// the bytes arrive, and what it took is written back as the same frame.
func FuzzDecoder(f *testing.F) {
	for _, tc := range transcripts {
		f.Add(unhex(tc.wire), 0, 0)
		f.Add(append(unhex(tc.wire), unhex(tc.wire)...), 256, 256)
	}
	for _, other := range otherOrders {
		f.Add(unhex(other.wire), 20, 5000)
	}
	f.Add(unhex("02 00002000 03 0004 01020304 02 1ff6"), 0, 0)
	f.Add(unhex("02 0000004e 05 0004 0a"), 0, 0)
	f.Fuzz(func(t *testing.T, wire []byte, early, payload int) {
		limits := legacy.Limits{EarlyPayload: early, Payload: payload}
		at := legacy.NewDecoder(bytes.NewReader(wire), limits)
		pieces := legacy.NewDecoder(iotest.OneByteReader(bytes.NewReader(wire)), limits)
		var a, b legacy.Frame
		total := 0
		for {
			err, errPieces := at.Next(&a), pieces.Next(&b)
			if (err == nil) != (errPieces == nil) || err != nil && err.Error() != errPieces.Error() && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("at once %v, in pieces %v", err, errPieces)
			}
			if err != nil {
				if fault, ok := errors.AsType[*legacy.FrameError](err); ok && (fault.Field == "" || fault.Status.Sent()) {
					t.Fatalf("%+v", fault)
				}
				return
			}
			again, err := a.Append(nil)
			if err != nil {
				t.Fatalf("%+v was read and cannot be written: %v", a, err)
			}
			size := len(again)
			if total+size > len(wire) {
				t.Fatalf("%d bytes came, and frames of %d bytes", len(wire), total+size)
			}
			// Items may have come in another order; read again, they are the
			// same frame.
			var c legacy.Frame
			if err := legacy.NewDecoder(bytes.NewReader(again), limits).Next(&c); err != nil || !equal(a, b) || !equal(a, c) {
				t.Fatalf("%+v\n%+v\n%+v, %v", a, b, c, err)
			}
			if a.Command != legacy.CommandItems && !bytes.Equal(again, wire[total:total+size]) {
				t.Fatalf("%x was written back as %x", wire[total:total+size], again)
			}
			total += size
		}
	})
}

func equal(a, b legacy.Frame) bool {
	return a.Command == b.Command && a.Has == b.Has && a.Priority == b.Priority && a.Identifier == b.Identifier &&
		a.Expiration == b.Expiration && bytes.Equal(a.DeviceToken, b.DeviceToken) && bytes.Equal(a.Payload, b.Payload)
}

// FuzzFrame: every frame that can be written is read back.
func FuzzFrame(f *testing.F) {
	for _, tc := range transcripts {
		f.Add(uint8(tc.frame.Command), uint8(tc.frame.Has), tc.frame.Priority, tc.frame.Identifier, tc.frame.Expiration, tc.frame.DeviceToken, tc.frame.Payload)
	}
	f.Fuzz(func(t *testing.T, command, has, priority uint8, identifier, expiration uint32, deviceToken, payload []byte) {
		frame := legacy.Frame{
			Command: legacy.Command(command), Has: legacy.Fields(has), Priority: priority,
			Identifier: identifier, Expiration: expiration, DeviceToken: deviceToken, Payload: payload,
		}
		wire, err := frame.Append(nil)
		if err != nil {
			if len(wire) > 0 {
				t.Fatal("a frame was refused and written")
			}
			return
		}
		if got := decodeOne(t, wire, legacy.Limits{Payload: 65535}); !equal(got, frame) {
			t.Fatalf("%+v came back as %+v", frame, got)
		}
	})
}

// FuzzErrorPacket and tuples: what is read is written back byte for byte.
func FuzzErrorPacket(f *testing.F) {
	f.Add(unhex("08 08 01020304"))
	f.Add(unhex("08 0a 00000000"))
	f.Add([]byte("HTTP/1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := legacy.ParseErrorPacket(b); err == nil && !bytes.Equal(p.Append(nil), b) {
			t.Fatalf("%x is %v", b, p)
		}
	})
}

func FuzzTuples(f *testing.F) {
	f.Add(unhex("6955b900 0020" + wireDevice))
	f.Add(unhex("00000000 0001 ab ffffffff 0002 abcd 00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := legacy.NewTupleReader(bytes.NewReader(b))
		var again []byte
		for {
			u, err := r.Next()
			if err != nil {
				if err == io.EOF && !bytes.Equal(again, b) || !bytes.HasPrefix(b, again) {
					t.Fatalf("%x came back as %x", b, again)
				}
				return
			}
			if again, err = u.Append(again); err != nil {
				t.Fatal(err)
			}
		}
	})
}
