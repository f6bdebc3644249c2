package webservice_test

import (
	"context"
	"time"

	"aviso.example/wallet/webservice"
)

// failingStore fails in everything.
type failingStore struct{ err error }

func (f failingStore) Register(context.Context, webservice.Registration) (bool, error) {
	return false, f.err
}

func (f failingStore) Unregister(context.Context, string, webservice.ID) error { return f.err }

func (f failingStore) Updated(context.Context, string, string, int64) (webservice.Updated, error) {
	return webservice.Updated{}, f.err
}

func (f failingStore) Modified(context.Context, webservice.ID) (time.Time, error) {
	return time.Time{}, f.err
}

func (f failingStore) Change(context.Context, string, []string, time.Time) (webservice.Change, error) {
	return webservice.Change{}, f.err
}

func (f failingStore) Claim(context.Context, string, int, time.Time, time.Time) ([]webservice.Push, error) {
	return nil, f.err
}

func (f failingStore) Settle(context.Context, []webservice.Settlement) (int, error) {
	return 0, f.err
}
