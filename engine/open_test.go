package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"aviso.example/apnstest"
)

// Open waits for a log as long as it brings something, and says what it waited
// for.
func TestAwait(t *testing.T) { virtually(t, testAwait) }

func testAwait(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t))
	begin := time.Now()
	stops := func() uint64 { return min(uint64(time.Since(begin)/time.Second), 100) }
	err := r.await(t.Context(), "the book", nil, stops)
	if took := time.Since(begin); took < 100*time.Second || took > 100*time.Second+2*openPatience {
		t.Errorf("it took %v", took)
	}
	if err == nil || !strings.Contains(err.Error(), "the book cannot be read") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := r.await(ctx, "the book", nil, stops); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the book") {
		t.Errorf("%v", err)
	}
}

// What people decided cannot be followed without its bucket, and the error says
// so.
func TestOpenWithoutControl(t *testing.T) { virtually(t, testOpenWithoutControl) }

func testOpenWithoutControl(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t))
	c, err := r.openControl(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.store.DeleteKeyValue(t.Context(), bucketControl); err != nil {
		t.Fatal(err)
	}
	hard, stop := context.WithCancel(t.Context())
	defer stop()
	began := time.Now()
	err = c.start(t.Context(), hard)
	if err == nil || !strings.Contains(err.Error(), "what people decided") || !strings.Contains(err.Error(), "stream not found") {
		t.Errorf("%v", err)
	}
	if took := time.Since(began); took > 2*openPatience {
		t.Errorf("it took %v", took)
	}
}
