package apns

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// nextAddress is how long one address of a name may keep silent before the next is tried
// beside it (RFC 8305 section 5, "Connection Attempt Delay").
const nextAddress = 250 * time.Millisecond

// addresses reaches a name at any of its addresses. [net.Dialer] gives the first of a
// family its share of all the time there is, seconds of it, before it tries the second;
// here the next is begun after a moment, or at once when one refuses (RFC 8305). It is
// safe for concurrent use.
type addresses struct {
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	dial   func(ctx context.Context, network, address string) (net.Conn, error)

	mu sync.Mutex
	// doubtful are those that were reached, and by which nothing has come about yet: they
	// may take connections and never answer. They are tried last, the oldest of them first.
	doubtful []netip.Addr
}

func newAddresses() *addresses {
	return &addresses{lookup: net.DefaultResolver.LookupNetIP, dial: new(net.Dialer).DialContext}
}

// Dial is for package proxy, which calls DialContext.
func (a *addresses) Dial(network, address string) (net.Conn, error) {
	return a.DialContext(context.Background(), network, address)
}

// DialContext returns the first connection that comes about. If none does the error is
// that of the first address, as with [net.Dialer].
func (a *addresses) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return a.dial(ctx, network, address)
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return a.dial(ctx, network, address)
	}
	found, err := a.lookup(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, &net.DNSError{Err: "it has no address", Name: host, IsNotFound: true}
	}
	return a.race(ctx, network, port, a.order(found))
}

func (a *addresses) race(ctx context.Context, network, port string, list []netip.Addr) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // those that are late
	type attempt struct {
		number int
		conn   net.Conn
		err    error
	}
	ended := make(chan attempt)
	begun, under := 0, 0
	begin := func() {
		number := begun
		begun++
		under++
		go func() {
			c, err := a.dial(ctx, network, net.JoinHostPort(list[number].String(), port))
			ended <- attempt{number, c, err}
		}()
	}
	begin()
	timer := time.NewTicker(nextAddress)
	defer timer.Stop()
	var first attempt
	for under > 0 {
		select {
		case <-timer.C:
			if begun < len(list) && ctx.Err() == nil {
				begin()
			}
		case one := <-ended:
			under--
			if one.err == nil {
				go func() {
					for range under {
						if late := <-ended; late.err == nil {
							late.conn.Close()
						}
					}
				}()
				return one.conn, nil
			}
			if first.err == nil || one.number < first.number {
				first = one
			}
			if begun < len(list) && ctx.Err() == nil {
				timer.Reset(nextAddress)
				begin()
			}
		}
	}
	return nil, first.err
}

// order is that of RFC 8305 section 4: families take turns, beginning with the one that
// the resolver prefers. Doubtful ones come last.
func (a *addresses) order(found []netip.Addr) []netip.Addr {
	var preferred, other []netip.Addr
	for _, ip := range found {
		if ip = ip.Unmap(); ip.Is4() == found[0].Unmap().Is4() {
			preferred = append(preferred, ip)
		} else {
			other = append(other, ip)
		}
	}
	list := make([]netip.Addr, 0, len(found))
	for i := range max(len(preferred), len(other)) {
		list = append(list, preferred[min(i, len(preferred)):min(i+1, len(preferred))]...)
		list = append(list, other[min(i, len(other)):min(i+1, len(other))]...)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.doubtful = slices.DeleteFunc(a.doubtful, func(ip netip.Addr) bool { return !slices.Contains(list, ip) })
	slices.SortStableFunc(list, func(x, y netip.Addr) int {
		return slices.Index(a.doubtful, x) - slices.Index(a.doubtful, y) // -1 for what is not
	})
	return list
}

// doubt notes that a connection was made, of which nobody knows yet whether it is good
// for anything.
func (a *addresses) doubt(c net.Conn) { a.note(c, true) }

// trust notes that it is.
func (a *addresses) trust(c net.Conn) { a.note(c, false) }

func (a *addresses) note(c net.Conn, doubtful bool) {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return
	}
	ip := tcp.AddrPort().Addr().Unmap()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.doubtful = slices.DeleteFunc(a.doubtful, func(other netip.Addr) bool { return other == ip })
	if doubtful {
		a.doubtful = append(a.doubtful, ip)
	}
}
