package legacy

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"time"

	"aviso.example/auth"
)

// FeedbackConfig says where the feedback service is and who asks. Certificate
// and Endpoint are required.
type FeedbackConfig struct {
	// Certificate is the client certificate of the app, as for a Client: each
	// app and environment has a list of its own.
	Certificate *auth.Certificate
	// Endpoint is host and port, like "localhost:2196"; the port is 2196 if it
	// is left out. Apple's own hosts were switched off on 31 March 2021.
	Endpoint string
	// ExtraRoots and DialContext are as in Config.
	ExtraRoots  []byte
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout is how long the service may send nothing before that is an error:
	// DefaultFeedbackTimeout unless set. A slow service is not an empty list.
	Timeout time.Duration
}

// Feedback connects to the feedback service and yields the device tokens that
// it found dead, in its order: the service sends its list at once, and closes. An error is yielded once, as the second value, and is the last
// thing; an *apns.ConnectError says why there was no connection. Without an error
// the list was complete.
//
// Reading empties the list at the service, so what is yielded has to be kept
// before the loop is left, and an entry that was not reached may be lost. Ask
// once a day at least ("Binary Provider API", The Feedback Service).
//
// Memory is constant however long the list is, and ctx bounds the time. The
// result can be ranged over once; each call connects anew.
func Feedback(ctx context.Context, cfg FeedbackConfig) iter.Seq2[Unregistered, error] {
	return func(yield func(Unregistered, error) bool) {
		r, err := openFeedback(ctx, cfg)
		if err != nil {
			yield(Unregistered{}, err)
			return
		}
		defer r.close()
		for {
			u, err := r.next(ctx)
			switch {
			case err == nil:
				if !yield(u, nil) {
					return
				}
			case errors.Is(err, io.EOF):
				return
			default:
				yield(Unregistered{}, err)
				return
			}
		}
	}
}

// feedbackReader is one connection to the feedback service.
type feedbackReader struct {
	tuples  *TupleReader
	conn    net.Conn
	timeout time.Duration
	close   func()
}

// feedbackBuffer holds a few hundred tuples.
const feedbackBuffer = 16 << 10

func openFeedback(ctx context.Context, cfg FeedbackConfig) (*feedbackReader, error) {
	where, problems := checkIdentity(cfg.Certificate, cfg.Endpoint, cfg.ExtraRoots, "2196")
	var errs []error
	for _, p := range problems {
		errs = append(errs, fmt.Errorf("legacy: FeedbackConfig.%s %s", p.Field, p.Message))
	}
	if cfg.Timeout < 0 || cfg.Timeout > 0 && cfg.Timeout < time.Millisecond {
		errs = append(errs, fmt.Errorf("legacy: FeedbackConfig.Timeout is %v; it has to be 1ms at least, and a plain number counts nanoseconds", cfg.Timeout))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	timeout := cmp.Or(cfg.Timeout, DefaultFeedbackTimeout)
	dialling, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	secure, raw, err := newDialler(cfg.Certificate, where, cfg.DialContext).connect(dialling)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	return &feedbackReader{
		tuples: NewTupleReader(bufio.NewReaderSize(&idleReader{secure, timeout}, feedbackBuffer)),
		conn:   raw, timeout: timeout,
		close: func() {
			stop()
			raw.Close()
		},
	}, nil
}

func (r *feedbackReader) next(ctx context.Context) (Unregistered, error) {
	u, err := r.tuples.Next()
	switch timeout, ok := errors.AsType[net.Error](err); {
	case err == nil:
		return u, nil
	case ctx.Err() != nil:
		return u, because(ctx)
	case errors.Is(err, io.ErrUnexpectedEOF) && r.tuples.whole():
		// The end without TLS's own goodbye, between two tuples. Servers of
		// that time hardly said it.
		return u, io.EOF
	case ok && timeout.Timeout():
		return u, fmt.Errorf("the feedback service sent nothing for %v; the list may be longer: %w", r.timeout, err)
	case refusal(err) != "":
		return u, fmt.Errorf("%s: %w", refusal(err), err)
	}
	return u, err
}

// idleReader gives each Read its own time.
type idleReader struct {
	net.Conn
	timeout time.Duration
}

// Read fails if nothing comes in time.
func (r *idleReader) Read(p []byte) (int, error) {
	if err := r.SetReadDeadline(time.Now().Add(r.timeout)); err != nil {
		return 0, err
	}
	return r.Conn.Read(p)
}
