package pool

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestConnect(t *testing.T) {
	refused := errors.New("refused")
	t.Run("one is made, and serves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, newServer(t), Config{})
			for range 3 {
				if err := r.pool.Connect(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			r.submit(100)
			r.accept(100)
			if st := r.pool.Stats(); st.Dials != 1 || len(st.Conns) != 1 {
				t.Errorf("%d dials, %d connections", st.Dials, len(st.Conns))
			}
		})
	})
	t.Run("refused, until it is not", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			up := time.Now().Add(time.Minute)
			r := newRig(t, s, Config{Dial: func(ctx context.Context) (net.Conn, error) {
				if time.Now().Before(up) {
					return nil, refused
				}
				return s.l.Dial(ctx)
			}})
			began := time.Now()
			var w *WaitError
			if err := r.pool.Connect(t.Context()); !errors.As(err, &w) || !errors.Is(err, refused) {
				t.Error(err)
			}
			if took := time.Since(began); took < DefaultConnectWait || took > DefaultConnectWait+time.Second {
				t.Errorf("it failed after %v", took)
			}
			for r.pool.Connect(t.Context()) != nil {
				time.Sleep(time.Second)
			}
			if late := time.Since(up); late < 0 || late > DefaultMaxDialPause+time.Second {
				t.Errorf("it was there %v after it could be", late)
			}
		})
	})
	t.Run("beside attempts that hang", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			up := time.Now().Add(5 * time.Second)
			r := newRig(t, s, Config{MaxDialPause: time.Second, Dial: func(ctx context.Context) (net.Conn, error) {
				if time.Now().Before(up) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return s.l.Dial(ctx)
			}})
			if err := r.pool.Connect(t.Context()); err != nil || time.Since(up) > 2*time.Second {
				t.Errorf("%v, after %v", err, time.Since(up))
			}
		})
	})
	t.Run("until the caller gives up, or the pool is closed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, newServer(t), Config{Dial: func(ctx context.Context) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := r.pool.Connect(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			if n := r.pool.wants(); n != 0 {
				t.Errorf("%d are waited for", n)
			}
			time.AfterFunc(time.Second, func() { r.pool.Close(context.Background()) })
			if err := r.pool.Connect(t.Context()); !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
			if err := r.pool.Connect(t.Context()); !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		})
	})
}
