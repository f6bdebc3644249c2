package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// A batch that nobody closes does not keep an engine from closing.
func TestCloseWithOpenBatch(t *testing.T) { virtually(t, testCloseWithOpenBatch) }

func testCloseWithOpenBatch(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	b := r.batch(BatchConfig{})
	fill(t, b, 0, 2*maxChunk+1) // two chunks are written, and one is begun
	e := r.Engine
	r.Engine = nil
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	if err := e.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	if took := time.Since(began); took > time.Second+LastWrites+time.Second/10 {
		t.Errorf("Close took %v", took)
	}
	began = time.Now()
	if _, err := b.Close(t.Context(), ""); !errors.Is(err, ErrClosed) {
		t.Errorf("the batch: %v", err)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("closing the batch took %v", took)
	}
	// What was on disk is sent.
	r.open()
	r.waitBatch(b.ID(), func(s BatchStatus) bool { return s.Counts.Accepted == 2*maxChunk })
}

// What APNs has answered is written down, also if Close has no time for what it
// has not answered.
func TestCloseWritesAnswers(t *testing.T) { virtually(t, testCloseWritesAnswers) }

func testCloseWritesAnswers(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	r.wait(r.submit(hello(), devices(100, 101)...).Message) // there is a connection
	apple.AddFault(t, sim.Fault{Kind: sim.FaultSilence, DeviceToken: device(3)})
	receipt := r.submit(hello(), devices(0, 10)...)
	time.Sleep(partialAfter / 5) // nine are answered, and wait for the tenth
	if n := apple.Stats().Accepted; n != 10 {
		t.Fatalf("APNs accepted %d", n)
	}
	e := r.Engine
	r.Engine = nil
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := e.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	apple.ClearFaults()
	r.open()
	if s := r.wait(receipt.Message); s.States[Accepted] != 10 {
		t.Errorf("%+v", s)
	}
	if s := apple.Stats(); s.Duplicates != 0 || s.Accepted != 11 {
		t.Errorf("APNs accepted %d, %d of them twice", s.Accepted, s.Duplicates)
	}
}
