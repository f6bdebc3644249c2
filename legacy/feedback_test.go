package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/legacy"
)

func feedbackConfig(p *peer) legacy.FeedbackConfig {
	return legacy.FeedbackConfig{
		Certificate: ids().client, ExtraRoots: ids().serverPEM, Endpoint: "gateway.test", DialContext: p.dial,
	}
}

// collect reads a list; the error, if any, is the last thing.
func collect(t *testing.T, ctx context.Context, cfg legacy.FeedbackConfig) (list []string, err error) {
	t.Helper()
	for u, e := range legacy.Feedback(ctx, cfg) {
		if err != nil {
			t.Error("something came after the error")
		}
		if err = e; err == nil {
			list = append(list, fmt.Sprintf("%s %d", u.DeviceToken, u.Since.Unix()))
		}
	}
	return list, err
}

func TestFeedback(t *testing.T) {
	tuple := unhex("6955b900 0020" + wireDevice)
	want := wireDevice + " 1767225600"
	for name, tc := range map[string]struct {
		script func(*peerConn)
		count  int
		says   string
	}{
		"empty":             {func(c *peerConn) { c.Close() }, 0, ""},
		"three":             {func(c *peerConn) { c.Write(append(append(tuple, tuple...), tuple...)) }, 3, ""},
		"without TLS's end": {func(c *peerConn) { c.Write(tuple); c.raw.Close() }, 1, ""},
		// Other libraries read with one Read, or for 100 ms.
		"byte by byte, slowly": {func(c *peerConn) {
			for _, b := range append(tuple, tuple...) {
				c.Write([]byte{b})
				time.Sleep(20 * time.Second)
			}
		}, 2, ""},
		"cut off":  {func(c *peerConn) { c.Write(tuple); c.Write(tuple[:20]) }, 1, "20 bytes into tuple 2"},
		"reset":    {func(c *peerConn) { c.Write(tuple); time.Sleep(time.Second); c.reset() }, 1, "connection reset"},
		"silent":   {func(c *peerConn) { c.Write(tuple); time.Sleep(time.Hour) }, 1, "sent nothing for 30s"},
		"stranger": {func(c *peerConn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n") }, 0, "web server"},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				p := newPeer(t, func(c *peerConn) {
					tc.script(c)
					c.Close()
				})
				list, err := collect(t, t.Context(), feedbackConfig(p))
				if len(list) != tc.count {
					t.Errorf("%d entries: %v", len(list), err)
				}
				for _, got := range list {
					if got != want {
						t.Errorf("%s, want %s", got, want)
					}
				}
				if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%v, want one that says %q", err, tc.says)
				}
				if p.connections() != 1 {
					t.Errorf("%d connections", p.connections())
				}
			})
		})
	}
}

// Every point at which the list can be cut.
func TestFeedbackTruncated(t *testing.T) {
	wire := unhex("6955b900 0020" + wireDevice + "00000001 0001 ab")
	for n := range len(wire) + 1 {
		virtually(t, func(t *testing.T) {
			list, err := collect(t, t.Context(), feedbackConfig(newPeer(t, func(c *peerConn) { c.Write(wire[:n]); c.Close() })))
			whole := n == 0 || n == 38 || n == len(wire)
			if whole != (err == nil) || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d bytes: %v", n, err)
			}
			if want := map[bool]int{true: 1}[n >= 38] + map[bool]int{true: 1}[n == len(wire)]; len(list) != want {
				t.Errorf("%d bytes: %d entries", n, len(list))
			}
		})
	}
}

func TestFeedbackEnds(t *testing.T) {
	endless := func(c *peerConn) {
		for {
			if _, err := c.Write(unhex("6955b900 0020" + wireDevice)); err != nil {
				return
			}
		}
	}
	virtually(t, func(t *testing.T) {
		for range legacy.Feedback(t.Context(), feedbackConfig(newPeer(t, endless))) {
			break
		}
	})
	virtually(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		p := newPeer(t, func(c *peerConn) { time.Sleep(time.Minute) })
		if _, err := collect(t, ctx, feedbackConfig(p)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
	virtually(t, func(t *testing.T) {
		p := newPeer(t, endless)
		p.tls.ClientCAs = nil
		if _, err := collect(t, t.Context(), feedbackConfig(p)); err == nil || !strings.Contains(err.Error(), "refused the client certificate") {
			t.Error(err)
		}
		p.listener.Close()
		_, err := collect(t, t.Context(), feedbackConfig(p))
		if c, ok := errors.AsType[*apns.ConnectError](err); !ok || c.Stage != "tcp" || c.Address != "gateway.test:2196" {
			t.Error(err)
		}
	})
	for says, cfg := range map[string]legacy.FeedbackConfig{
		"Certificate is missing": {Endpoint: "x:1"},
		"Endpoint is missing":    {Certificate: ids().client},
		"Timeout is 5ns":         {Certificate: ids().client, Endpoint: "x:1", Timeout: 5},
	} {
		if _, err := collect(t, t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "FeedbackConfig."+says) {
			t.Error(err)
		}
	}
	if _, err := collect(t, t.Context(), legacy.FeedbackConfig{
		Certificate: ids().client, Endpoint: "feedback.push.apple.com:2196",
		DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, context.DeadlineExceeded },
	}); err == nil || !strings.Contains(err.Error(), "31 March 2021") {
		t.Error(err)
	}
}

func TestDropDeviceToken(t *testing.T) {
	u := legacy.Unregistered{Since: time.Unix(100, 0)}
	if !u.DropDeviceToken(time.Unix(99, 0)) || u.DropDeviceToken(time.Unix(100, 0)) || u.DropDeviceToken(time.Unix(101, 0)) {
		t.Error("a device token is dropped only if it died after its registration")
	}
}
