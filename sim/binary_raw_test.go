package sim_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"aviso.example/apnstest"
)

// old is a client of the binary protocol made of nothing but bytes.
type old struct {
	t   testing.TB
	raw net.Conn
	*tls.Conn
}

// startOld starts a simulator with the ports of the binary protocol.
func startOld(t testing.TB, options ...apnstest.Option) (*apnstest.Server, *apnstest.Binary) {
	t.Helper()
	apple := apnstest.Start(t, options...)
	return apple, apple.StartBinary(t)
}

// dialOld connects to the gateway or the feedback service and shakes hands.
func dialOld(t testing.TB, apple *apnstest.Server, b *apnstest.Binary, addr string) *old {
	t.Helper()
	o, err := tryOld(t, apple, b, addr, b.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func tryOld(t testing.TB, apple *apnstest.Server, b *apnstest.Binary, addr string, certificates ...tls.Certificate) (*old, error) {
	t.Helper()
	raw, err := b.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Close() })
	raw.SetDeadline(time.Now().Add(20 * time.Second))
	config := &tls.Config{RootCAs: apple.RootCAs, ServerName: "localhost", Certificates: certificates}
	o := &old{t, raw, tls.Client(raw, config)}
	return o, o.Handshake()
}

// send writes bytes.
func (o *old) send(frames ...[]byte) {
	o.t.Helper()
	if _, err := o.Write(bytes.Join(frames, nil)); err != nil {
		o.t.Fatal(err)
	}
}

// packet reads until the connection ends and returns what came.
func (o *old) packet() []byte {
	o.t.Helper()
	b, err := io.ReadAll(o)
	if err != nil {
		o.t.Fatalf("after %x: %v", b, err)
	}
	return b
}

// wantPacket expects one error packet, and an orderly end.
func (o *old) wantPacket(status byte, identifier uint32) {
	o.t.Helper()
	want := binary.BigEndian.AppendUint32([]byte{8, status}, identifier)
	if got := o.packet(); !bytes.Equal(got, want) {
		o.t.Fatalf("got %x, want %x", got, want)
	}
}

// wantSilence makes sure that nothing was said once everything was judged.
func (o *old) wantSilence() {
	o.t.Helper()
	if err := o.CloseWrite(); err != nil {
		o.t.Fatal(err)
	}
	if got := o.packet(); len(got) > 0 {
		o.t.Fatalf("not silent: %x", got)
	}
}

// wantReset expects that the connection ends otherwise than in order.
func (o *old) wantReset() {
	o.t.Helper()
	if b, err := io.ReadAll(o); err == nil || isTimeout(err) {
		o.t.Fatalf("ended in order after %x (%v)", b, err)
	}
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// oldDevice is a binary device token with a number in it.
func oldDevice(n int) []byte { return unhex(deviceToken(n)) }

func be16(n int) []byte    { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// command0, command1 and command2 are written from Apple's tables.
func command0(deviceToken []byte, payload string) []byte {
	return concat([]byte{0}, be16(len(deviceToken)), deviceToken, be16(len(payload)), []byte(payload))
}

func command1(id, expiration uint32, deviceToken []byte, payload string) []byte {
	return concat([]byte{1}, be32(id), be32(expiration), be16(len(deviceToken)), deviceToken, be16(len(payload)), []byte(payload))
}

func command2(items ...[]byte) []byte {
	all := concat(items...)
	return concat([]byte{2}, be32(uint32(len(all))), all)
}

func item(id byte, data []byte) []byte { return concat([]byte{id}, be16(len(data)), data) }

// usual is a notification of command 2 with everything it needs.
func usual(id uint32, deviceToken []byte, payload string) []byte {
	return command2(item(1, deviceToken), item(2, []byte(payload)), item(3, be32(id)), item(5, []byte{10}))
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
