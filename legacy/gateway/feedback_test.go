package gateway_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"aviso.example/internal/await"
	"aviso.example/legacy"
	"aviso.example/legacy/gateway"
	"aviso.example/sim"
)

// unregister sends to dead devices, numbered from first, and waits until the
// gateway has noted them.
func (h *house) unregister(i *identity, first, count int) {
	h.t.Helper()
	before := h.gateway.Stats().Unregistered
	conn := h.dial(i)
	for n := first; n < first+count; n++ {
		m := newMessage(n)
		if err := h.apns.PutDevice(sim.Device{DeviceToken: m.device(), State: sim.Unregistered, Since: goneAt.Add(time.Duration(n) * time.Hour)}); err != nil {
			h.t.Fatal(err)
		}
		conn.Write(m.bytes(uint32(n)))
	}
	conn.CloseWrite()
	if b := readPacket(h.t, conn); len(b) > 0 {
		h.t.Fatalf("the gateway said %x", b)
	}
	if n := h.gateway.Stats().Unregistered - before; n != int64(count) {
		h.t.Fatalf("%d are unregistered, want %d", n, count)
	}
}

// list reads the feedback list with the client of this module.
func (h *house) list(i *identity) map[string]time.Time {
	h.t.Helper()
	found := map[string]time.Time{}
	for u, err := range legacy.Feedback(h.t.Context(), legacy.FeedbackConfig{Certificate: i.auth, Endpoint: h.feedback, ExtraRoots: serverIdentity().pem}) {
		if err != nil {
			h.t.Fatal(err)
		}
		found[u.DeviceToken] = u.Since
	}
	return found
}

func (h *house) wantList(i *identity, first, count int) {
	h.t.Helper()
	found := h.list(i)
	for n := first; n < first+count; n++ {
		if since := found[newMessage(n).device()]; !since.Equal(goneAt.Add(time.Duration(n) * time.Hour)) {
			h.t.Errorf("device %d is listed as gone since %v", n, since)
		}
	}
	if len(found) != count {
		h.t.Errorf("the list has %d entries, want %d", len(found), count)
	}
}

// cutList reads so many bytes of a list and resets the connection.
func (h *house) cutList(bytes int) {
	h.t.Helper()
	raw := must(net.Dial("tcp", h.feedback))
	defer raw.Close()
	raw.(*net.TCPConn).SetReadBuffer(4096)
	raw.(*net.TCPConn).SetLinger(0)
	cfg := programIdentity().clientTLS()
	cfg.ServerName = "localhost"
	if _, err := io.ReadFull(tls.Client(raw, cfg), make([]byte, bytes)); err != nil {
		h.t.Fatal(err)
	}
}

// emptied waits until a list was emptied for the n-th time.
func (h *house) emptied(n int) {
	h.t.Helper()
	await.Until(h.t, fmt.Sprintf("a list to be emptied for the %d. time", n), func() bool {
		return strings.Count(h.log.String(), `msg="the feedback list was read"`) >= n
	})
}

func TestFeedback(t *testing.T) {
	t.Parallel()
	const count = 2500 // more than a page
	other := newIdentity("com.example.other")
	h := open(t, func(c *gateway.Config) {
		second := c.Providers[0]
		second.Name, second.Certificates, second.Topic = "other", []*x509.Certificate{other.tls.Leaf}, "com.example.other"
		c.Providers = append(c.Providers, second)
	})
	h.unregister(programIdentity(), 0, count)
	h.wantList(other, 0, 0) // each has a list of its own
	h.wantList(programIdentity(), 0, count)
	h.emptied(2) // when we have hung up
	h.wantList(programIdentity(), 0, 0)

	// Who hangs up in the middle has not read it. The socket is small, so that the
	// list does not fit into it.
	h.unregister(programIdentity(), 0, count)
	h.cutList(380)
	h.wantList(programIdentity(), 0, count)

	// It is there after a restart, and what is found again counts with its new time.
	h.emptied(4)
	h.unregister(programIdentity(), 7, 3)
	if err := h.shutdown(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	h.gateway = must(gateway.New(h.config))
	h.address, h.feedback = h.serve(h.gateway.Serve), h.serve(h.gateway.ServeFeedback)
	h.wantList(programIdentity(), 7, 3)
}

// TestFeedbackFileInUse: two gateways would each tell half.
func TestFeedbackFileInUse(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	if _, err := gateway.New(h.config); err == nil {
		t.Error("two gateways share a feedback file")
	}
}

// TestStrangers: nobody sends without a certificate that the configuration names.
func TestStrangers(t *testing.T) {
	h := open(t, nil)
	stranger := newIdentity("com.example.app") // the right name is not enough
	for name, certificates := range map[string][]tls.Certificate{"a stranger": {stranger.tls}, "nobody": nil} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for _, address := range []string{h.address, h.feedback} {
				cfg := programIdentity().clientTLS()
				cfg.Certificates, cfg.MaxVersion = certificates, version
				conn, err := tls.Dial("tcp", address, cfg)
				if err == nil {
					// With TLS 1.3 the client learns of it when it reads.
					io.WriteString(conn, frame1(1, 0, active, hello))
					_, err = io.ReadAll(conn)
					conn.Close()
				}
				if err == nil {
					t.Errorf("%s was let in with %s", name, tls.VersionName(version))
				}
			}
		}
	}
	raw := must(net.Dial("tcp", h.address))
	io.WriteString(raw, "GET / HTTP/1.1\r\n\r\n")
	raw.SetDeadline(time.Now().Add(5 * time.Second))
	io.ReadAll(raw)
	raw.Close()
	old := programIdentity().clientTLS()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if conn, err := tls.Dial("tcp", h.address, old); err == nil {
		conn.Close()
		t.Error("TLS 1.1 was spoken without being asked for")
	}
	if n := len(h.apns.Pushes(sim.Filter{})); n > 0 {
		t.Errorf("%d pushes came from strangers", n)
	}
	if n := h.gateway.Stats().Refused; n < 8 {
		t.Errorf("%d were refused", n)
	}
}

// TestOldTLS: a program of 2010 gets in where it was asked for.
func TestOldTLS(t *testing.T) {
	h := open(t, func(c *gateway.Config) { c.MinTLSVersion = tls.VersionTLS10 })
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		cfg := programIdentity().clientTLS()
		cfg.MinVersion, cfg.MaxVersion = version, version
		conn, err := tls.Dial("tcp", h.address, cfg)
		if err != nil {
			t.Errorf("%s: %v", tls.VersionName(version), err)
			continue
		}
		conn.Write([]byte(frame1(1, 0, active, hello)))
		conn.Close()
	}
	h.accepted(4)
}

// TestSetCertificate: connections that begin later see the new one; those that are
// there go on.
func TestSetCertificate(t *testing.T) {
	t.Parallel()
	h := open(t, nil)
	before := h.dial(programIdentity())
	renewed := newIdentity("")
	if err := h.gateway.SetCertificate(nil); err == nil {
		t.Error("no certificate was taken for one")
	}
	if err := h.gateway.SetCertificate(renewed.auth); err != nil {
		t.Fatal(err)
	}
	if conn, err := tls.Dial("tcp", h.address, programIdentity().clientTLS()); err == nil {
		conn.Close()
		t.Error("the old certificate is still shown")
	}
	trusting := programIdentity().clientTLS()
	trusting.RootCAs = x509.NewCertPool()
	trusting.RootCAs.AddCert(renewed.tls.Leaf)
	after, err := tls.Dial("tcp", h.address, trusting)
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	io.WriteString(before, frame1(1, 0, active, hello))
	io.WriteString(after, frame1(2, 0, active, hello+" "))
	h.accepted(2)
}

// TestSetProviders: what is gone is told so; the others go on, and what they send
// goes the new way.
func TestSetProviders(t *testing.T) {
	t.Parallel()
	other := newIdentity("com.example.other")
	h := open(t, func(c *gateway.Config) {
		second := c.Providers[0]
		second.Name, second.Certificates, second.Topic = "other", []*x509.Certificate{other.tls.Leaf}, "com.example.other"
		c.Providers = append(c.Providers, second)
	})
	stays, goes := h.dial(programIdentity()), h.dial(other)
	io.WriteString(stays, frame1(1, 0, active, hello))
	io.WriteString(goes, frame1(2, 0, active, hello))
	h.accepted(2)

	wrong := append([]gateway.Provider(nil), h.config.Providers...)
	wrong[1].Certificates = wrong[0].Certificates
	wrong[1].APNs.BundleID = "not a bundle id"
	if err := h.gateway.SetProviders(wrong); err == nil {
		t.Error("wrong providers were taken")
	} else {
		t.Log(err)
	}
	changed := h.config.Providers[:1]
	changed[0].Topic = "com.example.changed"
	if err := h.gateway.SetProviders(changed); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(readPacket(t, goes)); got != "080a00000002" {
		t.Errorf("the one that is gone was told %q", got)
	}
	io.WriteString(stays, frame1(3, 0, active, hello))
	for _, p := range h.accepted(3)[hex.EncodeToString([]byte(active))][2:] {
		if p.Topic != "com.example.changed" {
			t.Errorf("it went to %s", p.Topic)
		}
	}
	if conn, err := tls.Dial("tcp", h.address, other.clientTLS()); err == nil {
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Error("the one that is gone was let in")
		}
		conn.Close()
	}
}
