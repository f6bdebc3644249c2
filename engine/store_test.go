package engine

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"aviso.example/apnstest"
)

// A log that is filled faster than anybody looks still has room for verdicts,
// and for what people decide.
func TestFull(t *testing.T) {
	apple := apnstest.Start(t)
	r := newRig(t, apple, func(cfg *Config) { cfg.Store.MaxBytes = 24 << 20 })
	if err := r.PauseApp(t.Context(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	m := hello()
	m.Notification.Payload = []byte(`{"aps":{"alert":"` + strings.Repeat("x", 4000) + `"}}`)
	var receipts []*Receipt
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for {
				receipt, err := r.Submit(t.Context(), m, devices(0, 1))
				if err != nil {
					if !errors.Is(err, ErrFull) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				receipts = append(receipts, receipt)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(receipts) < 1000 {
		t.Errorf("full after %d", len(receipts))
	}
	r.close()
	r.open()
	if _, err := r.Submit(t.Context(), m, devices(0, 1)); err != nil && !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	if err := r.ResumeApp(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	for _, receipt := range receipts {
		if s := r.wait(receipt.Message); s.States[Accepted] != 1 {
			t.Fatalf("%+v", s)
		}
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, err := r.Submit(t.Context(), m, devices(0, 1))
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// A log that cannot be opened is an error, whatever was opened before it failed,
// and leaves nothing behind.
func TestOpenErrors(t *testing.T) {
	apple := apnstest.Start(t)
	r := newRig(t, apple)
	second := r.cfg
	if _, err := Open(t.Context(), second); err == nil || !strings.Contains(err.Error(), "is in use by another process") {
		t.Errorf("a folder in use: %v", err)
	}
	for name, store := range map[string]StoreConfig{
		"Dir is missing":  {},
		"no connection":   {Dir: t.TempDir(), URLs: "nats://me:geheim@127.0.0.1:1"},
		"cannot be read":  {Dir: t.TempDir(), URLs: "nats://me:geheim%zz@127.0.0.1:1"},
		"not a directory": {Dir: filepath.Join("store_test.go", "x")},
		"no such file":    {Dir: t.TempDir(), URLs: "nats://127.0.0.1:1", CredentialsFile: "missing.creds"},
	} {
		cfg := r.cfg
		cfg.Store = store
		e, err := Open(t.Context(), cfg)
		if err == nil {
			e.Close(t.Context())
			t.Errorf("%s: opened", name)
			continue
		}
		if !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", name, err)
		}
		// The folder is free again.
		if store.URLs != "" {
			cfg.Store = StoreConfig{Dir: store.Dir}
			e, err := Open(t.Context(), cfg)
			if err != nil {
				t.Errorf("%s: afterwards: %v", name, err)
				continue
			}
			e.Close(t.Context())
		}
	}
}
