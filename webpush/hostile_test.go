package webpush

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestSwitchingProtocols(t *testing.T) {
	for _, m := range []*Message{{Payload: []byte("x")}, {Empty: true}} {
		synctest.Test(t, func(t *testing.T) {
			p := startPeer(t, "http/1.1")
			p.answers(func(w http.ResponseWriter, _ *http.Request, n int) {
				if n > 1 {
					w.WriteHeader(201)
					return
				}
				c, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
				io.Copy(io.Discard, c) // until the other side ends it
			})
			c := p.client(func(c *Config) { c.MaxConnections = 1 })
			begun := time.Now()
			receipt, err := c.Send(t.Context(), p.subscription("x"), m)
			if OutcomeOf(err) != Rejected || receipt.Status != 101 || time.Since(begun) > 0 {
				t.Errorf("%+v, %v after %v", receipt, err, time.Since(begun))
			}
			if _, err := c.Send(t.Context(), p.subscription("x"), m); err != nil {
				t.Errorf("the connection still counts: %v", err)
			}
		})
	}
}

func TestCheckEndpointOfNothing(t *testing.T) {
	c := newClient(t, func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF })
	for _, s := range []*Subscription{nil, {}} {
		if err := c.CheckEndpoint(s); err == nil {
			t.Error("no subscription, and no error")
		}
	}
}
