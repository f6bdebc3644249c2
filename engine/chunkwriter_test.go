package engine

import (
	"testing"

	"aviso.example/apnstest"
)

// Chunks of a batch are written while others are cut; the race detector watches.
func TestBatchChunksAtOnce(t *testing.T) { virtually(t, testBatchChunksAtOnce) }

func testBatchChunksAtOnce(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t))
	b, err := r.NewBatch(t.Context(), BatchConfig{App: "shop", Paused: true})
	if err != nil {
		t.Fatal(err)
	}
	m := hello()
	for i := range 20 * maxChunk {
		if _, err := b.Add(m, &Target{DeviceToken: device(i)}); err != nil {
			t.Fatal(err)
		}
	}
	record, err := b.Close(t.Context(), "")
	if err != nil || record.Accepted != 20*maxChunk {
		t.Errorf("%+v, %v", record, err)
	}
}
