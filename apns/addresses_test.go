package apns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var (
	errRefused  = errors.New("refused")
	errNoLookup = &net.DNSError{Err: "no such host", Name: "apns.example.com", IsNotFound: true}
)

// fakeConn is a connection to an address.
type fakeConn struct {
	net.Conn
	remote net.Addr
	closed *atomic.Bool
}

func (c fakeConn) RemoteAddr() net.Addr { return c.remote }
func (c fakeConn) Close() error         { c.closed.Store(true); return c.Conn.Close() }

// world is a name with addresses, each of which answers after some time: "1s" takes a
// connection, "1s!" refuses it, "" never does anything.
type world struct {
	t       *testing.T
	answers map[string]string

	mu    sync.Mutex
	tried []string
	open  []*atomic.Bool
}

func (w *world) addresses(names ...string) *addresses {
	return &addresses{
		lookup: func(context.Context, string, string) (list []netip.Addr, err error) {
			for _, n := range names {
				list = append(list, netip.MustParseAddr(n))
			}
			if list == nil {
				err = errNoLookup
			}
			return list, err
		},
		dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			at := netip.MustParseAddrPort(address)
			w.mu.Lock()
			w.tried = append(w.tried, at.Addr().String())
			w.mu.Unlock()
			how, refuses := strings.CutSuffix(w.answers[at.Addr().String()], "!")
			var after <-chan time.Time
			if how != "" {
				d, err := time.ParseDuration(how)
				if err != nil {
					panic(err)
				}
				after = time.After(d)
			}
			select {
			case <-after:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			if refuses {
				return nil, errRefused
			}
			a, b := net.Pipe()
			w.t.Cleanup(func() { a.Close(); b.Close() })
			closed := new(atomic.Bool)
			w.mu.Lock()
			w.open = append(w.open, closed)
			w.mu.Unlock()
			return fakeConn{a, net.TCPAddrFromAddrPort(at), closed}, nil
		},
	}
}

func TestAddressesOfOneName(t *testing.T) {
	for name, test := range map[string]struct {
		list    []string
		answers map[string]string
		tried   []string
		took    time.Duration
		err     error
	}{
		"the first answers":         {[]string{"192.0.2.1", "192.0.2.2"}, map[string]string{"192.0.2.1": "50ms"}, []string{"192.0.2.1"}, 50 * time.Millisecond, nil},
		"the first refuses":         {[]string{"192.0.2.1", "192.0.2.2"}, map[string]string{"192.0.2.1": "10ms!", "192.0.2.2": "10ms"}, []string{"192.0.2.1", "192.0.2.2"}, 20 * time.Millisecond, nil},
		"the first is silent":       {[]string{"192.0.2.1", "192.0.2.2"}, map[string]string{"192.0.2.2": "10ms"}, []string{"192.0.2.1", "192.0.2.2"}, 260 * time.Millisecond, nil},
		"three are silent":          {[]string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}, map[string]string{"192.0.2.4": "0s"}, []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}, 750 * time.Millisecond, nil},
		"the first is slow":         {[]string{"192.0.2.1", "192.0.2.2"}, map[string]string{"192.0.2.1": "300ms", "192.0.2.2": "1s"}, []string{"192.0.2.1", "192.0.2.2"}, 300 * time.Millisecond, nil},
		"families take turns":       {[]string{"2001:db8::1", "2001:db8::2", "192.0.2.1"}, map[string]string{"192.0.2.1": "0s"}, []string{"2001:db8::1", "192.0.2.1"}, 250 * time.Millisecond, nil},
		"the preferred come first":  {[]string{"192.0.2.1", "192.0.2.2", "2001:db8::1"}, map[string]string{"192.0.2.2": "0s"}, []string{"192.0.2.1", "2001:db8::1", "192.0.2.2"}, 500 * time.Millisecond, nil},
		"all refuse":                {[]string{"192.0.2.1", "192.0.2.2"}, map[string]string{"192.0.2.1": "0s!", "192.0.2.2": "0s!"}, []string{"192.0.2.1", "192.0.2.2"}, 0, errRefused},
		"all are silent":            {[]string{"192.0.2.1", "192.0.2.2"}, nil, []string{"192.0.2.1", "192.0.2.2"}, 5 * time.Second, context.DeadlineExceeded},
		"one refuses, one is quiet": {[]string{"192.0.2.1", "192.0.2.2"}, map[string]string{"192.0.2.2": "0s!"}, []string{"192.0.2.1", "192.0.2.2"}, 5 * time.Second, context.DeadlineExceeded},
		"mapped":                    {[]string{"::ffff:192.0.2.1"}, map[string]string{"192.0.2.1": "0s"}, []string{"192.0.2.1"}, 0, nil},
		"none":                      {nil, nil, nil, 0, errNoLookup},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{t: t, answers: test.answers}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				began := time.Now()
				c, err := w.addresses(test.list...).DialContext(ctx, "tcp", "apns.example.com:443")
				if took := time.Since(began); took != test.took {
					t.Errorf("it took %v, want %v", took, test.took)
				}
				if !errors.Is(err, test.err) || (err == nil) != (c != nil) {
					t.Errorf("%v, want %v", err, test.err)
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				w.mu.Lock()
				defer w.mu.Unlock()
				if !slices.Equal(w.tried, test.tried) {
					t.Errorf("tried %q, want %q", w.tried, test.tried)
				}
				for i, closed := range w.open {
					if closed.Load() != (i > 0) {
						t.Errorf("connection %d is closed: %v", i, closed.Load())
					}
				}
			})
		})
	}
}

// An address that takes connections and says nothing is not the first that is tried
// again, nor beside it.
func TestAddressThatNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, answers: map[string]string{"192.0.2.1": "0s", "192.0.2.2": "0s"}}
		a := w.addresses("192.0.2.1", "192.0.2.2")
		d := newDialler(Config{DialContext: a.DialContext}, endpoint{host: "apns.example.com", port: "443"})
		d.addresses = a
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := d.connect(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			cancel()
		}
		if want := []string{"192.0.2.1", "192.0.2.2", "192.0.2.1"}; !slices.Equal(w.tried, want) {
			t.Errorf("tried %q, want %q", w.tried, want)
		}
		c, err := a.DialContext(t.Context(), "tcp", "apns.example.com:443")
		if err != nil {
			t.Fatal(err)
		}
		a.trust(c) // 192.0.2.2, the doubtful one of longest standing
		if list := a.order([]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}); list[0] != netip.MustParseAddr("192.0.2.2") {
			t.Error(list)
		}
	})
}

func TestAddressGivenItself(t *testing.T) {
	w := &world{t: t, answers: map[string]string{"192.0.2.1": "0s", "2001:db8::1": "0s"}}
	for _, address := range []string{"192.0.2.1:443", "[2001:db8::1]:443"} {
		if _, err := w.addresses().DialContext(t.Context(), "tcp", address); err != nil {
			t.Error(err)
		}
	}
}
