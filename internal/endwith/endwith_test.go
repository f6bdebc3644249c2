package endwith_test

import (
	"context"
	"errors"
	"testing"

	"aviso.example/internal/endwith"
)

type key struct{}

func TestAny(t *testing.T) {
	first, second, third := errors.New("first"), errors.New("second"), errors.New("third")
	own, endOwn := context.WithCancelCause(context.WithValue(t.Context(), key{}, "kept"))
	one, endOne := context.WithCancelCause(t.Context())
	other, endOther := context.WithCancelCause(t.Context())
	ctx := endwith.Any(own, one, other)
	if ctx.Err() != nil || context.Cause(ctx) != nil || ctx.Value(key{}) != "kept" {
		t.Errorf("before the end: %v, %v", ctx.Err(), context.Cause(ctx))
	}
	// The first of the list that is over gives the cause.
	for _, step := range []struct {
		end   context.CancelCauseFunc
		cause error
	}{{endOwn, first}, {endOther, second}, {endOne, third}} {
		step.end(step.cause)
		if !errors.Is(ctx.Err(), context.Canceled) || context.Cause(ctx) != step.cause {
			t.Errorf("%v, %v instead of %v", ctx.Err(), context.Cause(ctx), step.cause)
		}
	}
	<-ctx.Done()
}
