package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// tell streams a provider's list, as the feedback service did on connect, and
// empties it if the provider read all of it.
func (g *Gateway) tell(conn *tls.Conn, raw net.Conn, r *route) {
	defer conn.Close()
	defer context.AfterFunc(g.late, func() { raw.Close() })()
	log := r.log.With("remote", raw.RemoteAddr().String())
	defer r.readers.Add(-1)
	if r.readers.Add(1) > providerReaders {
		log.Warn("a connection to the feedback port was refused: the provider has its share of them", "connections", providerReaders)
		return
	}
	newest, err := g.feedback.snapshot(r.name)
	told := 0
	var buf, from []byte
	for err == nil {
		var n int
		if buf, from, n, err = g.feedback.page(r.name, newest, from, buf[:0]); err != nil {
			break
		}
		told += n
		conn.SetWriteDeadline(time.Now().Add(feedbackPatience))
		if _, err = conn.Write(buf); err != nil || from == nil {
			break
		}
	}
	if err == nil {
		err = hangUp(conn, raw)
	}
	if err != nil {
		log.Info("the feedback list was not read to its end; it stays", "entries", told, "because", err)
		return
	}
	if err := g.feedback.remove(r.name, newest); err != nil {
		log.Error("the feedback list was read and cannot be emptied", "error", err)
		return
	}
	log.Info("the feedback list was read", "entries", told)
}

// providerReaders is how many connections to the feedback port a provider may have
// at a time: a quarter of all, since each may be slow.
const providerReaders = feedbackConnections / 4

// feedbackPatience bounds how long a provider may not take what it is told, and
// how long it may take to hang up.
const feedbackPatience = 30 * time.Second

var errNoGoodbye = errors.New("the provider did not end the connection")

// hangUp ends our half of the connection and waits for the other: only then has
// everything arrived. A reset means that something was left unread.
func hangUp(conn *tls.Conn, raw net.Conn) error {
	conn.SetWriteDeadline(time.Now().Add(feedbackPatience))
	conn.CloseWrite()
	if half, ok := raw.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	raw.SetReadDeadline(time.Now().Add(feedbackPatience))
	_, err := io.Copy(io.Discard, io.LimitReader(raw, 1<<16))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errNoGoodbye
	}
	return err
}
