package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
)

const (
	// presentEvery is how often an engine says on a cluster that it is there.
	presentEvery = 5 * time.Second
	// absentAfter is after what silence it does not count any more; the others
	// then go faster.
	absentAfter = 3 * presentEvery
)

// openPresence begins to count the engines that share a cluster, among which
// rates are divided. Work needs no dividing: who has room takes the next chunk.
func (e *Engine) openPresence(ctx context.Context) error {
	kv, err := e.store.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: streamPrefix + "ENGINES", TTL: absentAfter, Replicas: e.store.replicas, Storage: jetstream.FileStorage,
	})
	if err != nil {
		return fmt.Errorf("engine: the list of engines: %w", err)
	}
	name := apns.NewID().String()
	if err := e.present(ctx, kv, name); err != nil {
		return fmt.Errorf("engine: the list of engines: %w", err)
	}
	e.background.Go(func() {
		tick := time.NewTicker(presentEvery)
		defer tick.Stop()
		for {
			select {
			case <-e.hard.Done():
				return
			case <-tick.C:
			}
			if err := e.present(e.hard, kv, name); err != nil && e.hard.Err() == nil {
				e.log.Warn("the other engines cannot be counted", "error", err)
			}
		}
	})
	return nil
}

// present says that this engine is there, and counts who is.
func (e *Engine) present(ctx context.Context, kv jetstream.KeyValue, name string) error {
	ctx, cancel := context.WithTimeout(ctx, presentEvery)
	defer cancel()
	if _, err := kv.PutString(ctx, name, ""); err != nil {
		return err
	}
	keys, err := kv.Keys(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
		return err
	}
	if n := int32(max(1, len(keys))); n != e.engines.Swap(n) {
		e.gates.shared()
	}
	return nil
}
