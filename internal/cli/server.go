package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"aviso.example/engine"
	"aviso.example/internal/api"
	"aviso.example/internal/listen"
)

const (
	// headerTimeout bounds the reading of a request's header.
	headerTimeout = 10 * time.Second
	// idleTimeout is how long a connection is kept that nothing is asked on.
	idleTimeout = 2 * time.Minute
	// silence is how long a body may bring nothing. A batch lasts as long as it
	// likes, if only it goes on; the API is no more patient.
	silence = 5 * time.Minute
	// batchesPath is where batches are handed in, line by line.
	batchesPath = "/v1/batches"
	// restTime is how long the rest of a body may take that was answered without it.
	restTime = time.Second
	// takingTime is how long a part of an answer may not be taken.
	takingTime = time.Minute
	// lastRequests bounds the time that requests have to end when the server
	// stops, before notifications get the rest of the grace. A batch that is still
	// being sent is cut off then; what was read of it is on disk.
	lastRequests = 3 * time.Second
	// mostConnections is how many connections of callers are held at a time, if the
	// process may have twice as many descriptors. The other half is for the log, which
	// has some files open for each lane of each app, and for connections to APNs.
	mostConnections = 16384
)

func maxConnections() int {
	n := listen.Descriptors()
	if n == 0 {
		return mostConnections
	}
	return max(1, min(mostConnections, n/2))
}

// server is a running engine with its API.
type server struct {
	engine *engine.Engine
	api    *api.API
	url    string
	key    string // of the API
	log    *slog.Logger

	http   *http.Server
	served chan error // ends when the listener does

	mu       sync.Mutex
	ended    bool // no request begins any more
	requests sync.WaitGroup
}

// serverOptions is what a server needs besides the engine's configuration.
type serverOptions struct {
	name   string // of the flag or key that says where to listen
	listen string
	// orFree replaces a port that is taken by a free one.
	orFree bool
	// key returns the API key, when the data folder is known to be ours.
	key func() (string, error)
	log *slog.Logger
}

// startServer opens the engine and serves its API.
func startServer(ctx context.Context, cfg engine.Config, o serverOptions) (*server, error) {
	l, err := net.Listen("tcp", o.listen)
	if o.orFree && errors.Is(err, syscall.EADDRINUSE) {
		l, err = net.Listen("tcp", freePort(o.listen))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.name, portHint(err))
	}
	cfg.Logger = o.log
	e, err := engine.Open(ctx, cfg)
	if err != nil {
		l.Close()
		return nil, inOurWords{err}
	}
	s := &server{engine: e, log: o.log, url: "http://" + l.Addr().String(), served: make(chan error, 1)}
	if s.key, err = o.key(); err == nil {
		s.api, err = api.New(api.Config{Engine: e, Key: s.key, Logger: o.log, Version: version()})
	}
	if err != nil {
		l.Close()
		e.Close(ctx)
		return nil, err
	}
	bounded := listen.New(l, maxConnections())
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		ConnState: bounded.ConnState, ConnContext: bounded.ConnContext,
		ErrorLog: slog.NewLogLogger(o.log.Handler(), slog.LevelInfo),
	}
	go func() { s.served <- s.http.Serve(bounded) }()
	return s, nil
}

// ServeHTTP hands a request to the API and watches its progress.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		panic(http.ErrAbortHandler) // its connection is being closed
	}
	defer s.requests.Done()
	if s.api.Authorized(r) {
		defer listen.Work(r.Context())()
	}
	control := http.NewResponseController(w)
	answer := &steadyWriter{ResponseWriter: w, control: control}
	if r.Body != http.NoBody {
		body := &steadyBody{ReadCloser: r.Body, control: control}
		if r.URL.Path != batchesPath {
			body.until = time.Now().Add(silence)
		}
		r.Body, answer.body = body, body
	}
	s.api.ServeHTTP(answer, r)
	if !answer.begun {
		answer.WriteHeader(http.StatusOK)
	}
	if answer.body != nil && !answer.body.whole {
		control.SetReadDeadline(time.Now().Add(restTime)) // net/http still looks for the rest
	}
}

// failure says why the server ended by itself, should it do so before ctx is done.
func (s *server) failure(ctx context.Context) <-chan error {
	ended := make(chan error, 1)
	go func() {
		select {
		case err := <-s.served:
			s.served <- err // stop waits for it too
			ended <- err
		case <-s.engine.Failed():
			ended <- s.engine.Failure()
		case <-ctx.Done():
		}
	}()
	return ended
}

// begin counts a request, unless the engine may be closing already.
func (s *server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.requests.Add(1)
	}
	return !s.ended
}

// steadyBody is the body of a request that has to go on arriving.
type steadyBody struct {
	io.ReadCloser
	control *http.ResponseController
	until   time.Time // zero for a batch, which lasts as long as it goes on
	whole   bool      // all of it has come
}

func (b *steadyBody) Read(p []byte) (int, error) {
	deadline := time.Now().Add(silence)
	if !b.until.IsZero() {
		deadline = b.until
	}
	b.control.SetReadDeadline(deadline)
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.whole = true
		// From now on nothing more comes, which is no reason to give up.
		b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// steadyWriter writes an answer that has to go on being taken.
type steadyWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	body    *steadyBody // nil if there is none
	begun   bool
}

// WriteHeader begins the answer. It does not wait for the rest of a body that nobody
// wants to read: net/http would, to use the connection again, for as long as somebody
// likes to hold it.
func (w *steadyWriter) WriteHeader(status int) {
	if status >= http.StatusOK && !w.begun {
		w.begun = true
		if w.body != nil && !w.body.whole {
			w.Header().Set("Connection", "close")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *steadyWriter) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	w.control.SetWriteDeadline(time.Now().Add(takingTime))
	return w.ResponseWriter.Write(p)
}

func (w *steadyWriter) Flush() {
	w.control.SetWriteDeadline(time.Now().Add(takingTime))
	w.control.Flush()
}

// Unwrap is for http.ResponseController.
func (w *steadyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// stop ends the server: nothing new is taken, what is under way may end, and the
// rest stays on disk.
func (s *server) stop(grace time.Duration) {
	if grace > 2*engine.LastWrites {
		grace -= engine.LastWrites // which are part of it
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), grace, errGrace)
	defer cancel()
	s.api.Drain()
	quick, stop := context.WithTimeout(ctx, min(lastRequests, grace/2))
	defer stop()
	if s.http.Shutdown(quick) != nil {
		s.http.Close()
	}
	<-s.served
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	requests := make(chan struct{})
	go func() {
		s.requests.Wait()
		close(requests)
	}()
	select {
	case <-requests:
	case <-ctx.Done(): // a closed engine answers them too
	}
	if err := s.engine.Close(ctx); err != nil {
		s.log.Warn("not everything that was under way has ended; it goes on at the next start", "grace", grace, "because", err)
	}
}

var errGrace = errors.New("the time to stop has run out")
