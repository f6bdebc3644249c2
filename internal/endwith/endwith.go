// Package endwith has the rule that nothing new is begun once the context that was
// handed in is done, whatever the contexts made of it say.
//
// Those made of one context are told of its end one after another. Whoever is told
// first gives something up and so makes room, and one that has not been told yet would
// take it, to be told in turn: on a busy machine, much is begun after the end that way.
package endwith

import "context"

// Any returns a context that is ctx, but is over at the very moment at which any of
// the others is, if Err or context.Cause is asked. Done is that of ctx, which is
// usually made of the others and follows in a moment.
func Any(ctx context.Context, others ...context.Context) context.Context {
	return &anyOf{ctx, others}
}

type anyOf struct {
	context.Context
	others []context.Context
}

// over returns the one that is over, or ctx. Others come first: they are nearer to
// the reason.
func (a *anyOf) over() context.Context {
	for _, other := range a.others {
		if other.Err() != nil {
			return other
		}
	}
	return a.Context
}

// Err implements context.Context.
func (a *anyOf) Err() error { return a.over().Err() }

// Value implements context.Context, and tells context.Cause why.
func (a *anyOf) Value(key any) any { return a.over().Value(key) }
