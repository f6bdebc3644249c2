// Package endwithtest holds the moment still in which a context has ended and nobody
// has been told.
package endwithtest

import (
	"context"
	"sync/atomic"
)

// Ending is a context that after End says that it is cancelled if it is asked, and
// has told nobody: neither those who wait for it nor the contexts made of it. On a
// busy machine that moment is long.
type Ending struct {
	context.Context
	ended atomic.Bool
}

// New makes one of a context.
func New(ctx context.Context) *Ending { return &Ending{Context: ctx} }

// End begins the moment, which lasts.
func (c *Ending) End() { c.ended.Store(true) }

// Err implements context.Context.
func (c *Ending) Err() error {
	if c.ended.Load() {
		return context.Canceled
	}
	return c.Context.Err()
}
