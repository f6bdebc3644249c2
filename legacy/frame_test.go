package legacy_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"aviso.example/legacy"
)

// unhex turns digits with spaces between them into bytes; a transcript is
// written as the protocol description writes it.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// The worked bytes of the protocol description.
const (
	wireDevice  = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	wirePayload = "7b22617073223a7b22616c657274223a226869227d7d" // {"aps":{"alert":"hi"}}
)

// transcripts are frames with their bytes, none of which were made by code of
// this repository.
var transcripts = []struct {
	name  string
	wire  string
	frame legacy.Frame
}{
	{
		"command 0", "00 0020" + wireDevice + "0016" + wirePayload,
		legacy.Frame{Command: 0, DeviceToken: unhex(wireDevice), Payload: unhex(wirePayload)},
	},
	{
		"command 1", "01 01020304 6955b900 0020" + wireDevice + "0016" + wirePayload,
		legacy.Frame{
			Command: 1, Has: legacy.HasIdentifier | legacy.HasExpiration,
			Identifier: 0x01020304, Expiration: 1767225600, DeviceToken: unhex(wireDevice), Payload: unhex(wirePayload),
		},
	},
	{
		"command 2, all five items", "02 0000004e 01 0020" + wireDevice + "02 0016" + wirePayload + "03 0004 01020304 04 0004 6955b900 05 0001 0a",
		legacy.Frame{
			Command: 2, Has: legacy.HasIdentifier | legacy.HasExpiration | legacy.HasPriority,
			Identifier: 0x01020304, Expiration: 1767225600, Priority: 10, DeviceToken: unhex(wireDevice), Payload: unhex(wirePayload),
		},
	},
	{
		"command 2, the two it needs", "02 0000003c 01 0020" + wireDevice + "02 0016" + wirePayload,
		legacy.Frame{Command: 2, DeviceToken: unhex(wireDevice), Payload: unhex(wirePayload)},
	},
	{
		// npm's apn counts from 0 on each connection: an identifier of 0 is not
		// the same as none.
		"command 2, identifier 0", "02 0000000f 01 0001 ff 02 0001 7b 03 0004 00000000",
		legacy.Frame{Command: 2, Has: legacy.HasIdentifier, DeviceToken: []byte{0xff}, Payload: []byte("{")},
	},
	{
		"command 2, priority 5, expiration 0", "02 00000014 01 0001 ff 02 0002 7b7d 04 0004 00000000 05 0001 05",
		legacy.Frame{
			Command: 2, Has: legacy.HasExpiration | legacy.HasPriority, Priority: 5,
			DeviceToken: []byte{0xff}, Payload: []byte("{}"),
		},
	},
}

// otherOrders are frames that only a decoder sees: items may come in any order.
var otherOrders = []struct {
	wire string
	same int // index into transcripts
}{
	{"02 0000004e 05 0001 0a 04 0004 6955b900 03 0004 01020304 02 0016" + wirePayload + "01 0020" + wireDevice, 2},
	{"02 0000003c 02 0016" + wirePayload + "01 0020" + wireDevice, 3},
}

func TestFrameBytes(t *testing.T) {
	for _, tc := range transcripts {
		t.Run(tc.name, func(t *testing.T) {
			want := unhex(tc.wire)
			got, err := tc.frame.Append([]byte("before"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(append([]byte("before"), want...), got); diff != "" {
				t.Error(diff)
			}
			f := decodeOne(t, want, legacy.Limits{})
			if diff := cmp.Diff(tc.frame, f); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, other := range otherOrders {
		if diff := cmp.Diff(transcripts[other.same].frame, decodeOne(t, unhex(other.wire), legacy.Limits{})); diff != "" {
			t.Error(diff)
		}
	}
}

func decodeOne(t testing.TB, wire []byte, limits legacy.Limits) legacy.Frame {
	t.Helper()
	d := legacy.NewDecoder(bytes.NewReader(wire), limits)
	var f legacy.Frame
	if err := d.Next(&f); err != nil {
		t.Fatal(err)
	}
	f.DeviceToken, f.Payload = bytes.Clone(f.DeviceToken), bytes.Clone(f.Payload)
	if err := d.Next(new(legacy.Frame)); err != io.EOF {
		t.Errorf("after the only frame: %v", err)
	}
	return f
}

// The sizes that the protocol description gives.
func TestFrameSizes(t *testing.T) {
	for payload, want := range map[int]int{22: 83, 2048: 2109} {
		f := transcripts[2].frame
		f.Payload = bytes.Repeat([]byte{'x'}, payload)
		b, err := f.Append(nil)
		if err != nil || len(b) != want {
			t.Errorf("a payload of %d bytes makes a frame of %d, want %d; %v", payload, len(b), want, err)
		}
	}
}

// All frames at once, whole and byte by byte, give the same frames.
func TestDecoderReadsInAnyPieces(t *testing.T) {
	var wire []byte
	var want []string
	for range 100 { // more than a buffer
		for _, tc := range transcripts {
			wire = append(wire, unhex(tc.wire)...)
			want = append(want, fmt.Sprint(tc.frame))
		}
	}
	for name, r := range map[string]io.Reader{
		"at once": bytes.NewReader(wire), "by byte": iotest.OneByteReader(bytes.NewReader(wire)),
		"by halves": iotest.HalfReader(bytes.NewReader(wire)), "error with data": iotest.DataErrReader(bytes.NewReader(wire)),
	} {
		d := legacy.NewDecoder(r, legacy.Limits{})
		var f legacy.Frame
		for i := range want {
			if err := d.Next(&f); err != nil {
				t.Fatalf("%s: frame %d: %v", name, i, err)
			}
			if got := fmt.Sprint(f); got != want[i] {
				t.Fatalf("%s: frame %d is %s, want %s", name, i, got, want[i])
			}
		}
		if err := d.Next(&f); err != io.EOF {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
}

func TestTruncationAtEveryByte(t *testing.T) {
	for _, tc := range transcripts {
		wire := unhex(tc.wire)
		for n := range wire {
			d := legacy.NewDecoder(bytes.NewReader(wire[:n]), legacy.Limits{})
			err := d.Next(new(legacy.Frame))
			if n == 0 && err != io.EOF || n > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s, %d bytes: %v", tc.name, n, err)
			}
			if again := d.Next(new(legacy.Frame)); again != err {
				t.Errorf("%s, %d bytes: an error is final, but then came %v", tc.name, n, again)
			}
		}
	}
}

// Every fault has the status with which APNs would have answered, and the
// identifier wherever it can be reached.
func TestFaults(t *testing.T) {
	device, payload := "01 0020"+wireDevice, "02 0016"+wirePayload
	id := "03 0004 01020304"
	long := func(n int) string { return strings.Repeat("7b", n) }
	for _, tc := range []struct {
		name, wire string
		limits     legacy.Limits
		status     legacy.Status
		identifier uint32
		says       string
	}{
		{name: "command 3", wire: "03", status: 128, says: "has to be 0, 1 or 2"},
		{name: "error packet", wire: "08 08 01020304", status: 128, says: "Command is 8"},
		{name: "TLS inside TLS", wire: "16 0301", status: 128, says: "TLS spoken inside TLS"},
		{name: "HTTP", wire: hex.EncodeToString([]byte("POST /3/device")), status: 128, says: "is it HTTP"},

		{name: "0, no device token", wire: "00 0000", status: 2, says: "DeviceToken is missing"},
		{name: "0, long device token", wire: "00 0065", status: 5, says: "has 101 bytes; the limit is 100"},
		{name: "0, no payload", wire: "00 0020" + wireDevice + "0000", status: 4, says: "Payload is missing"},
		{name: "0, long payload", wire: "00 0020" + wireDevice + "0801", status: 7, says: "has 2049 bytes; the limit is 2048"},
		{name: "0, payload of later days", wire: "00 0020" + wireDevice + "0101", limits: legacy.Limits{EarlyPayload: legacy.PayloadUntil2014}, status: 7, says: "the limit is 256"},

		{name: "1, no device token", wire: "01 01020304 00000000 0000", status: 2, identifier: 0x01020304},
		{name: "1, long device token", wire: "01 01020304 00000000 ffff", status: 5, identifier: 0x01020304},
		{name: "1, no payload", wire: "01 01020304 00000000 0001 aa 0000", status: 4, identifier: 0x01020304},
		{name: "1, long payload", wire: "01 01020304 00000000 0001 aa 0801", status: 7, identifier: 0x01020304},

		{name: "2, empty", wire: "02 00000000", status: 2},
		{name: "2, no device token", wire: "02 00000020" + payload + id, status: 2, identifier: 0x01020304},
		{name: "2, empty device token", wire: "02 00000023 01 0000" + payload + id, status: 2, identifier: 0x01020304},
		{name: "2, no payload", wire: "02 0000002a" + device + id, status: 4, identifier: 0x01020304},
		{name: "2, empty payload", wire: "02 0000002d" + id + device + "02 0000", status: 4, identifier: 0x01020304},
		{name: "2, device token of 101 bytes", wire: "02 00000088 01 0065" + long(101) + payload + id, status: 5, identifier: 0x01020304},
		{name: "2, payload of 2049 bytes", wire: "02 0000082e" + device + "02 0801" + long(2049) + id, status: 7, identifier: 0x01020304, says: "has 2049 bytes; the limit is 2048 with command 2"},
		{name: "2, payload of 65535 bytes", wire: "02 0001002c" + device + "02 ffff" + long(65535) + id, status: 7, identifier: 0x01020304},
		{name: "2, the largest there is", wire: "02 0001ffff" + id + "01 fff8" + long(0xfff8) + "02 fffa" + long(0xfffa), status: 5, identifier: 0x01020304},
		{name: "2, payload within a small limit's buffer", wire: "02 00000041" + device + "02 0014" + long(20) + id, limits: legacy.Limits{Payload: 10}, status: 7, identifier: 0x01020304},
		{name: "2, impossible length", wire: "02 7fffffff", status: 128, says: "big-endian"},
		{name: "2, identifier of 2 bytes", wire: "02 00000041" + device + payload + "03 0002 0102", status: 128, says: "Identifier has 2 bytes"},
		{name: "2, expiration of 8 bytes", wire: "02 0000004e" + device + payload + "04 0008 000000006955b900" + id, status: 128, identifier: 0x01020304, says: "Expiration has 8 bytes"},
		{name: "2, priority 7", wire: "02 00000047" + device + payload + "05 0001 07" + id, status: 128, identifier: 0x01020304, says: "Priority is 7"},
		{name: "2, item 6", wire: "02 00000047" + id + device + payload + "06 0001 07", status: 128, identifier: 0x01020304, says: "item 6"},
		{name: "2, item 0", wire: "02 00000003 00 0000", status: 128, says: "item 0"},
		{name: "2, device token twice", wire: "02 00000066" + id + device + device + payload, status: 128, identifier: 0x01020304, says: "twice"},
		{name: "2, identifier twice", wire: "02 0000000e" + id + id, status: 128, identifier: 0x01020304},
		{name: "2, item beyond the frame", wire: "02 00000022 01 0020" + wireDevice[:62], status: 128, says: "the frame ends after 31"},
		{name: "2, two bytes too many", wire: "02 0000003e" + device + payload + "0304", status: 128, says: "2 bytes after its last item"},
		{name: "2, oversize for no reason", wire: "02 00002000 06 1ffd", status: 128},
		{name: "2, oversize and item beyond", wire: "02 00002000" + id + "02 1ffd", status: 128, identifier: 0x01020304},
		// The bug of go-libapns: the item declares four bytes and has one, so
		// the frame is three bytes shorter than its items say.
		{name: "2, priority of go-libapns", wire: "02 0000004e" + device + payload + id + "04 0004 6955b900 05 0004 0a", status: 128, identifier: 0x01020304},
		{name: "2, priority of 4 bytes", wire: "02 00000051" + device + payload + id + "04 0004 6955b900 05 0004 0a000000", status: 128, identifier: 0x01020304, says: "has to have 1. go-libapns"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{"at once": bytes.NewReader(unhex(tc.wire)), "by byte": iotest.OneByteReader(bytes.NewReader(unhex(tc.wire)))} {
				d := legacy.NewDecoder(r, tc.limits)
				err := d.Next(new(legacy.Frame))
				fault, ok := errors.AsType[*legacy.FrameError](err)
				if !ok {
					t.Fatalf("%s: %v", name, err)
				}
				if want := (legacy.ErrorPacket{Status: tc.status, Identifier: tc.identifier}); fault.Packet() != want {
					t.Errorf("%s: answered with %v, want %v", name, fault.Packet(), want)
				}
				if !errors.Is(err, tc.status) || !strings.Contains(err.Error(), tc.says) || fault.Field == "" {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// timehop/apns writes expiration 0 and priority 0 when it was given neither.
func TestAnyPriority(t *testing.T) {
	wire := "02 0000004e 01 0020" + wireDevice + "02 0016" + wirePayload + "03 0004 00000001 04 0004 00000000 05 0001 00"
	f := decodeOne(t, unhex(wire), legacy.Limits{AnyPriority: true})
	if f.Has != legacy.HasIdentifier|legacy.HasExpiration || f.Priority != 0 || f.Identifier != 1 {
		t.Errorf("%+v", f)
	}
}

func TestAppendRefuses(t *testing.T) {
	good := transcripts[2].frame
	for name, tc := range map[string]struct {
		change func(*legacy.Frame)
		status legacy.Status
	}{
		"Command":          {func(f *legacy.Frame) { f.Command = 3 }, 128},
		"Has (0)":          {func(f *legacy.Frame) { f.Command = 0 }, 128},
		"Has (1)":          {func(f *legacy.Frame) { f.Command = 1 }, 128},
		"Has (8)":          {func(f *legacy.Frame) { f.Has |= 8 }, 128},
		"Identifier":       {func(f *legacy.Frame) { f.Has &^= legacy.HasIdentifier }, 128},
		"Expiration":       {func(f *legacy.Frame) { f.Has &^= legacy.HasExpiration }, 128},
		"Priority":         {func(f *legacy.Frame) { f.Has &^= legacy.HasPriority }, 128},
		"Priority (1)":     {func(f *legacy.Frame) { f.Priority = 1 }, 128},
		"DeviceToken":      {func(f *legacy.Frame) { f.DeviceToken = nil }, 2},
		"DeviceToken long": {func(f *legacy.Frame) { f.DeviceToken = make([]byte, 101) }, 5},
		"Payload":          {func(f *legacy.Frame) { f.Payload = nil }, 4},
		"Payload long":     {func(f *legacy.Frame) { f.Payload = make([]byte, 65536) }, 7},
	} {
		f := good
		tc.change(&f)
		dst, err := f.Append([]byte("kept"))
		fault, ok := errors.AsType[*legacy.FrameError](err)
		if !ok || fault.Status != tc.status || fault.Field != strings.Fields(name)[0] || string(dst) != "kept" {
			t.Errorf("%s: %q, %v", name, dst, err)
		}
	}
}

// What a hostile sender makes the decoder do: no memory beyond its buffer, no
// allocation for a frame.
func TestDecoderAllocatesNothing(t *testing.T) {
	var wire []byte
	for range 1000 {
		for _, tc := range transcripts {
			wire = append(wire, unhex(tc.wire)...)
		}
	}
	r := bytes.NewReader(wire)
	d := legacy.NewDecoder(r, legacy.Limits{})
	var f legacy.Frame
	got := testing.AllocsPerRun(1000, func() {
		if err := d.Next(&f); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations for a frame", got)
	}
	big := unhex("02 0001002c 02 ffff" + strings.Repeat("7b", 65535) + "01 0020" + wireDevice + "03 0004 01020304")
	// Buffer, decoder, error and its text.
	if got := testing.AllocsPerRun(10, func() {
		legacy.NewDecoder(iotest.OneByteReader(bytes.NewReader(big)), legacy.Limits{}).Next(&f)
	}); got > 12 {
		t.Errorf("%v allocations for a frame of 64 KiB that came byte by byte", got)
	}
}

// A reader that returns nothing and no error must not hold the decoder for
// ever.
func TestDecoderNoProgress(t *testing.T) {
	err := legacy.NewDecoder(iotest.ErrReader(nil), legacy.Limits{}).Next(new(legacy.Frame))
	if !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
	err = legacy.NewDecoder(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("\x02\x00"))), legacy.Limits{}).Next(new(legacy.Frame))
	if !errors.Is(err, iotest.ErrTimeout) {
		t.Error(err)
	}
}

func TestErrorPacketBytes(t *testing.T) {
	for wire, p := range map[string]legacy.ErrorPacket{
		"08 08 01020304": {Status: legacy.StatusInvalidDeviceToken, Identifier: 0x01020304},
		"08 0a 01020304": {Status: legacy.StatusShutdown, Identifier: 0x01020304},
		"08 ff ffffffff": {Status: legacy.StatusUnknown, Identifier: 0xffffffff},
		"08 80 00000000": {Status: legacy.StatusProtocolError},
	} {
		if got := p.Append(nil); !bytes.Equal(got, unhex(wire)) {
			t.Errorf("%v is %x, want %s", p, got, wire)
		}
		if got, err := legacy.ParseErrorPacket(unhex(wire)); err != nil || got != p {
			t.Errorf("%s is %v, %v", wire, got, err)
		}
		for n := range 6 {
			if _, err := legacy.ParseErrorPacket(unhex(wire)[:n]); err == nil {
				t.Errorf("%d bytes are a packet", n)
			}
		}
	}
	if _, err := legacy.ParseErrorPacket([]byte("HTTP/1")); err == nil || !strings.Contains(err.Error(), "web server") {
		t.Error(err)
	}
}

func TestTupleBytes(t *testing.T) {
	wire := unhex("6955b900 0020" + wireDevice)
	u := legacy.Unregistered{DeviceToken: wireDevice, Since: time.Unix(1767225600, 0)}
	if got, err := u.Append(nil); err != nil || !bytes.Equal(got, wire) {
		t.Errorf("%x, %v", got, err)
	}
	// The last second that four bytes can say, and a device token of another
	// length.
	both := append(bytes.Clone(wire), unhex("ffffffff 0001 ab")...)
	r := legacy.NewTupleReader(iotest.OneByteReader(bytes.NewReader(both)))
	for _, want := range []legacy.Unregistered{u, {DeviceToken: "ab", Since: time.Unix(0xffffffff, 0)}} {
		if got, err := r.Next(); err != nil || got.DeviceToken != want.DeviceToken || !got.Since.Equal(want.Since) {
			t.Errorf("%v, %v", got, err)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		t.Error(err)
	}
	for n := range wire {
		_, err := legacy.NewTupleReader(bytes.NewReader(wire[:n])).Next()
		if n == 0 && err != io.EOF || n > 0 && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for bad, says := range map[string]string{"00000000 0000": "0 bytes", "00000000 0065": "101 bytes", "485454502f31": "web server"} {
		if _, err := legacy.NewTupleReader(bytes.NewReader(unhex(bad))).Next(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, u := range []legacy.Unregistered{
		{DeviceToken: "", Since: u.Since}, {DeviceToken: "abc", Since: u.Since}, {DeviceToken: strings.Repeat("ab", 101), Since: u.Since},
		{DeviceToken: "ab", Since: time.Unix(-1, 0)}, {DeviceToken: "ab", Since: time.Unix(1<<32, 0)},
	} {
		if dst, err := u.Append([]byte("kept")); err == nil || string(dst) != "kept" {
			t.Errorf("%v was written", u)
		}
	}
}

func TestStatuses(t *testing.T) {
	for s := range 256 {
		status := legacy.Status(s)
		_, httpStatus := status.Reason()
		if httpStatus < 400 || !strings.HasPrefix(status.String(), fmt.Sprint(s)) {
			t.Errorf("%v: %d", status, httpStatus)
		}
		if status.Sent() && status.Temporary() {
			t.Errorf("%v blames a notification and none", status)
		}
	}
	for s, want := range map[legacy.Status]bool{1: true, 2: false, 7: false, 8: false, 9: true, 10: false, 128: false, 255: true} {
		if s.Temporary() != want {
			t.Errorf("%v: temporary is %v", s, s.Temporary())
		}
	}
}
