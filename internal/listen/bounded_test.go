package listen

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"aviso.example/internal/await"
)

// serve serves with room for so many connections; a request for /slow is answered
// when release is closed.
func serve(t *testing.T, most int) (address string, release chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := New(l, most)
	release = make(chan struct{})
	s := &http.Server{ConnState: b.ConnState, ConnContext: b.ConnContext, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path { // what strangers may ask
		case "/stranger":
			<-r.Context().Done()
			return
		case "/passing":
			return
		}
		defer Work(r.Context())()
		if r.URL.Path == "/slow" {
			<-release
		}
		fmt.Fprint(w, "done")
	})}
	served := make(chan error)
	go func() { served <- s.Serve(b) }()
	t.Cleanup(func() { s.Close(); <-served })
	return l.Addr().String(), release
}

// client is a connection of somebody who writes HTTP by hand.
type client struct {
	net.Conn
	t *testing.T
}

func dial(t *testing.T, address string) client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(await.Deadline(t))
	t.Cleanup(func() { conn.Close() })
	return client{conn, t}
}

func (c client) ask(path string) { fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path) }

func (c client) answered() bool {
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return false
	}
	body, _ := io.ReadAll(r.Body)
	return string(body) == "done"
}

// Whoever asks is served, however many have a connection and ask nothing.
func TestIdleMakeRoom(t *testing.T) {
	address, _ := serve(t, 4)
	for range 20 {
		dial(t, address)
	}
	var kept []client
	for range 12 {
		c := dial(t, address)
		c.ask("/")
		if !c.answered() {
			t.Fatal("there is no answer")
		}
		kept = append(kept, c)
	}
	// The last ones were kept, and the first ones made room for them.
	last := kept[len(kept)-1]
	if last.ask("/"); !last.answered() {
		t.Error("the connection that was used last is closed")
	}
	if kept[0].ask("/"); kept[0].answered() {
		t.Error("five connections are open")
	}
}

// A connection in the middle of a request makes room for nobody.
func TestBusyStay(t *testing.T) {
	address, release := serve(t, 3)
	var busy []client
	for range 3 {
		c := dial(t, address)
		c.ask("/slow")
		busy = append(busy, c)
	}
	time.Sleep(20 * time.Millisecond) // whether they came first or not, all are answered
	late := dial(t, address)
	late.ask("/")
	close(release)
	var all sync.WaitGroup
	for _, c := range append(busy, late) {
		all.Go(func() {
			if !c.answered() {
				t.Error("a request was not answered")
			}
		})
	}
	all.Wait()
}

// Strangers hold no connection that somebody needs who may ask, whatever they are in
// the middle of.
func TestStrangersMakeRoom(t *testing.T) {
	address, release := serve(t, 4)
	busy := dial(t, address)
	busy.ask("/slow")
	for i := range 20 {
		c := dial(t, address)
		if c.ask("/stranger"); i%2 == 0 {
			continue
		}
		go io.WriteString(c, strings.Repeat("GET /passing HTTP/1.1\r\nHost: a\r\n\r\n", 10_000)) // until it is closed
	}
	for range 5 {
		c := dial(t, address)
		if c.ask("/"); !c.answered() {
			t.Fatal("there is no answer")
		}
	}
	close(release)
	if !busy.answered() {
		t.Error("a request was not answered")
	}
}

// Of many callers who come at once, each is answered, although there is no room for
// all.
func TestCrowd(t *testing.T) {
	address, release := serve(t, 4)
	var busy []client
	for range 3 {
		c := dial(t, address)
		c.ask("/slow")
		busy = append(busy, c)
	}
	var all sync.WaitGroup
	for range 30 {
		c := dial(t, address)
		all.Go(func() {
			c.ask("/")
			if !c.answered() {
				t.Error("a request was not answered")
			}
		})
	}
	all.Wait()
	close(release)
	for _, c := range busy {
		if !c.answered() {
			t.Error("a request was not answered")
		}
	}
}

// A listener that is closed lets go of whoever waits for room.
func TestCloseWhileFull(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := New(l, 1)
	accepted := make(chan error, 2)
	go func() {
		for range 2 {
			conn, err := b.Accept()
			if err == nil {
				b.ConnState(conn, http.StateActive)
				defer Work(b.ConnContext(t.Context(), conn))()
				defer conn.Close()
			}
			accepted <- err
		}
	}()
	dial(t, l.Addr().String())
	if err := <-accepted; err != nil {
		t.Fatal(err)
	}
	dial(t, l.Addr().String())
	b.Close()
	if err := <-accepted; err == nil {
		t.Error("a second one was accepted")
	}
}

func TestDescriptors(t *testing.T) {
	if n := Descriptors(); n < 0 || n > 1<<30 {
		t.Error(n)
	}
}
