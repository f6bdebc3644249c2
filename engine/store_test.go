package engine

import (
	"path/filepath"
	"strings"
	"testing"

	"aviso.example/apnstest"
)

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
