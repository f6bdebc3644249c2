package sqlite_test

import (
	"path/filepath"
	"testing"

	"aviso.example/wallet/sqlite"
	"aviso.example/wallet/webservice"
	"aviso.example/wallet/webservice/storetest"
)

func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB) webservice.Store { return open(t, filepath.Join(t.TempDir(), "passes.db")) })
}
