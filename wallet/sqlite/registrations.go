package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"aviso.example/wallet/webservice"
)

// Register implements webservice.Store.
func (s *Store) Register(ctx context.Context, r webservice.Registration) (created bool, err error) {
	err = s.transaction(ctx, "registering", func(tx *transaction) error {
		var device, item int64
		var before string
		known, err := tx.row(s.getDevice, []any{&device, &before}, r.Device)
		if err != nil {
			return err
		}
		if _, err := tx.row(s.putDevice, []any{&device}, r.Device, r.DeviceToken, r.Time.UnixMilli()); err != nil {
			return err
		}
		number, err := tx.numbers(s, 1)
		if err != nil {
			return err
		}
		if known && before != r.DeviceToken {
			if _, err := tx.exec(s.requeue, device, number, r.Time.UnixMilli()); err != nil {
				return err
			}
		}
		ok, err := tx.row(s.getItem, []any{&item}, r.Type, r.Serial)
		if err == nil && !ok {
			_, err = tx.row(s.putItem, []any{&item}, r.Type, r.Serial, number, r.Time.Unix())
		}
		if err != nil {
			return err
		}
		n, err := tx.exec(s.putRegistration, device, item, number)
		created = n == 1
		return err
	})
	return created && err == nil, err
}

// Unregister implements webservice.Store.
func (s *Store) Unregister(ctx context.Context, device string, id webservice.ID) error {
	return s.transaction(ctx, "unregistering", func(tx *transaction) error {
		var deviceID, item int64
		var deviceToken string
		known, err := tx.row(s.getDevice, []any{&deviceID, &deviceToken}, device)
		if err != nil || !known {
			return err
		}
		if known, err = tx.row(s.getItem, []any{&item}, id.Type, id.Serial); err != nil || !known {
			return err
		}
		if n, err := tx.exec(s.dropRegistration, deviceID, item); err != nil || n == 0 {
			return err
		}
		if _, err := tx.exec(s.unqueue, deviceID, id.Type); err != nil {
			return err
		}
		_, err = tx.exec(s.leaveDevice, deviceID)
		return err
	})
}

// Updated implements webservice.Store. It is one statement, and so of one moment.
func (s *Store) Updated(ctx context.Context, device, typ string, since int64) (webservice.Updated, error) {
	var u webservice.Updated
	rows, err := s.updated.QueryContext(ctx, device, typ, since)
	if err == nil {
		defer rows.Close()
		for rows.Next() && err == nil {
			var serial string
			err = rows.Scan(&serial, &u.Sequence)
			u.Serials = append(u.Serials, serial)
		}
		err = errors.Join(err, rows.Err())
	}
	if err != nil {
		return webservice.Updated{}, fmt.Errorf("sqlite: looking up what changed: %w", err)
	}
	return u, nil
}

// Modified implements webservice.Store.
func (s *Store) Modified(ctx context.Context, id webservice.ID) (time.Time, error) {
	var seconds int64
	err := s.modified.QueryRowContext(ctx, id.Type, id.Serial).Scan(&seconds)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("sqlite: looking up when a package changed: %w", err)
	}
	return time.Unix(seconds, 0), nil
}
