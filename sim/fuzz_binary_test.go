package sim

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"aviso.example/internal/memnet"
	"aviso.example/internal/proto"
)

// binarySeeds are the worked bytes of the protocol description and what is
// wrong with them in one place.
func binarySeeds() (seeds [][]byte) {
	deviceToken := make([]byte, 32)
	for i := range deviceToken {
		deviceToken[i] = byte(i)
	}
	payload := []byte(`{"aps":{"alert":"hi"}}`)
	field := func(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }
	item := func(id byte, b []byte) []byte { return append([]byte{id}, field(b)...) }
	simple := bytes.Join([][]byte{{0}, field(deviceToken), field(payload)}, nil)
	enhanced := bytes.Join([][]byte{{1, 1, 2, 3, 4, 0x69, 0x55, 0xb9, 0}, field(deviceToken), field(payload)}, nil)
	items := bytes.Join([][]byte{
		item(1, deviceToken), item(2, payload), item(3, []byte{1, 2, 3, 4}), item(4, []byte{0x69, 0x55, 0xb9, 0}), item(5, []byte{10}),
	}, nil)
	frame := append([]byte{2, 0, 0, 0, byte(len(items))}, items...)
	seeds = append(seeds, simple, enhanced, frame, bytes.Join([][]byte{simple, enhanced, frame}, nil))
	for _, change := range []struct{ at, to byte }{{0, 8}, {4, 77}, {4, 79}, {5, 9}, {7, 33}, {1, 0xff}} {
		changed := bytes.Clone(frame)
		changed[change.at] = change.to
		seeds = append(seeds, changed)
	}
	return append(seeds, nil, []byte{9}, []byte{2}, []byte{2, 0, 0, 0, 0}, []byte{0, 0, 0, 0, 0}, []byte("POST /3/device/ HTTP/1.1\r\n\r\n"))
}

// FuzzBinaryFrame holds the parser to what a reader of one notification must do:
// it takes no more than there is, decides the same however much follows, wants
// more for every shorter piece, and what it understood encodes to the same again.
func FuzzBinaryFrame(f *testing.F) {
	for _, seed := range binarySeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, size, err := parseBinary(b)
		switch {
		case errors.Is(err, errShortFrame):
			if len(b) >= maxBinaryFrame {
				t.Errorf("more than %d bytes are wanted", len(b))
			}
			return
		case err != nil:
			if _, ok := errors.AsType[*parseError](err); !ok || size != 0 {
				t.Errorf("%v, %d bytes", err, size)
			}
			return
		case size <= 0 || size > len(b):
			t.Fatalf("took %d of %d bytes", size, len(b))
		}
		again, size2, err := parseBinary(append(bytes.Clone(b[:size]), 0xff, 0xff))
		if err != nil || size2 != size || !sameNote(&n, &again) {
			t.Errorf("with something behind it: %+v %d %v", again, size2, err)
		}
		for cut := range size {
			if _, _, err := parseBinary(b[:cut]); !errors.Is(err, errShortFrame) {
				t.Fatalf("cut at %d: %v", cut, err)
			}
		}
		if n.unknownItem {
			return
		}
		back, size3, err := parseBinary(encodeNote(&n))
		if err != nil || size3 != len(encodeNote(&n)) || !sameNote(&n, &back) {
			t.Errorf("%+v became %+v, %v", n, back, err)
		}
	})
}

func sameNote(a, b *binaryNote) bool {
	return a.command == b.command && bytes.Equal(a.deviceToken, b.deviceToken) && bytes.Equal(a.payload, b.payload) &&
		a.identifier == b.identifier && a.expiration == b.expiration && a.priority == b.priority &&
		a.hasIdentifier == b.hasIdentifier && a.hasExpiration == b.hasExpiration && a.hasPriority == b.hasPriority
}

// encodeNote writes a notification as its command lays it out.
func encodeNote(n *binaryNote) []byte {
	field := func(out, b []byte) []byte { return append(binary.BigEndian.AppendUint16(out, uint16(len(b))), b...) }
	out := []byte{n.command}
	if n.command != proto.BinaryCommandItems {
		if n.command == proto.BinaryCommandEnhanced {
			out = binary.BigEndian.AppendUint32(out, n.identifier)
			out = binary.BigEndian.AppendUint32(out, n.expiration)
		}
		return field(field(out, n.deviceToken), n.payload)
	}
	var items []byte
	add := func(when bool, id byte, b []byte) {
		if when {
			items = field(append(items, id), b)
		}
	}
	add(n.hasPriority, 5, []byte{n.priority})
	add(n.hasExpiration, 4, binary.BigEndian.AppendUint32(nil, n.expiration))
	add(n.hasIdentifier, 3, binary.BigEndian.AppendUint32(nil, n.identifier))
	add(len(n.payload) > 0, 2, n.payload)
	add(len(n.deviceToken) > 0, 1, n.deviceToken)
	return append(binary.BigEndian.AppendUint32(out, uint32(len(items))), items...)
}

// FuzzBinaryConnection writes anything to the gateway, cut into pieces at one
// place: it answers with the packet that a reader of the whole would expect, or
// nothing, wherever the cut is, never hangs and leaves nothing behind.
func FuzzBinaryConnection(f *testing.F) {
	for _, seed := range binarySeeds() {
		f.Add(seed, uint16(len(seed)/2), uint8(0))
		f.Add(append(bytes.Clone(seed), seed...), uint16(1), uint8(3))
	}
	client := topicCertificate(f)
	f.Fuzz(func(t *testing.T, data []byte, cut uint16, fault uint8) {
		s, err := New(Config{Certificate: anyCertificate})
		if err != nil {
			t.Fatal(err)
		}
		kinds := []Fault{
			{}, {Kind: FaultCutPacket, Bytes: 2}, {Kind: FaultDelayPacket, Delay: time.Millisecond},
			{Kind: FaultErrorPacket, BinaryStatus: new(uint8(10)), Nth: 2}, {Kind: FaultClose, Nth: 2},
		}
		if k := kinds[int(fault)%len(kinds)]; k.Kind != "" {
			if _, err := s.AddFault(k); err != nil {
				t.Fatal(err)
			}
		}
		l := memnet.Listen("fuzz")
		served := make(chan error, 1)
		go func() { served <- s.ServeBinary(l) }()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		raw, err := l.Dial(ctx)
		if err != nil {
			t.Fatal(err)
		}
		raw.SetDeadline(time.Now().Add(10 * time.Second))
		nc := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{client}})
		if err := nc.Handshake(); err != nil {
			t.Fatal(err)
		}
		at := min(int(cut), len(data))
		nc.Write(data[:at]) // it may have gone already
		nc.Write(data[at:])
		nc.CloseWrite()
		answer, err := io.ReadAll(nc)
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			t.Error("the server hangs")
		}
		if len(answer) > proto.BinaryErrorSize || len(answer) > 0 && answer[0] != proto.BinaryCommandError {
			t.Errorf("answer %x", answer)
		}
		nc.Close()
		raw.Close()
		if int(fault)%len(kinds) == 0 {
			if want := expectedAnswer(data); !bytes.Equal(answer, want) {
				t.Errorf("answer %x, want %x", answer, want)
			}
		}
		s.Close()
		if err := <-served; !errors.Is(err, ErrServerClosed) {
			t.Error(err)
		}
		if st := s.Stats().Binary; st.ConnectionsOpen != 0 || st.Packets > 1 {
			t.Errorf("%+v", st)
		}
	})
}

// expectedAnswer is what a server without faults says to the whole of data.
func expectedAnswer(data []byte) []byte {
	for {
		n, size, err := parseBinary(data)
		data = data[size:]
		var status byte
		switch {
		case errors.Is(err, errShortFrame):
			return nil
		case err != nil, n.hasPriority && n.priority != 10 && n.priority != 5:
			status = proto.BinaryStatusProtocolError
		case len(n.deviceToken) == 0:
			status = proto.BinaryStatusMissingDeviceToken
		case len(n.payload) == 0:
			status = proto.BinaryStatusMissingPayload
		case len(n.deviceToken) != 32:
			status = proto.BinaryStatusInvalidTokenSize
		case len(n.payload) > 2048:
			status = proto.BinaryStatusInvalidPayloadSize
		default:
			continue
		}
		return appendErrorPacket(nil, status, n.identifier)
	}
}

// topicCertificate is a client certificate that names an app.
func topicCertificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		Subject: pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: oidUID, Value: "com.example.app"}}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
