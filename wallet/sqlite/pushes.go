package sqlite

import (
	"context"
	"slices"
	"time"

	"aviso.example/wallet/webservice"
)

// Change implements webservice.Store.
func (s *Store) Change(ctx context.Context, typ string, serials []string, now time.Time) (webservice.Change, error) {
	var change webservice.Change
	serials = slices.Compact(slices.Sorted(slices.Values(serials)))
	if len(serials) == 0 {
		return change, nil
	}
	err := s.transaction(ctx, "marking as changed", func(tx *transaction) error {
		number, err := tx.numbers(s, len(serials))
		if err != nil {
			return err
		}
		for i, serial := range serials {
			var item int64
			known, err := tx.row(s.changeItem, []any{&item}, typ, serial, number+int64(i), now.Unix())
			if err != nil {
				return err
			}
			if !known {
				continue
			}
			queued, err := tx.exec(s.queue, item, typ, number+int64(i), now.UnixMilli())
			if err != nil {
				return err
			}
			change.Known++
			change.Queued += queued
		}
		return nil
	})
	if err != nil {
		return webservice.Change{}, err
	}
	return change, nil
}

// Claim implements webservice.Store.
func (s *Store) Claim(ctx context.Context, typ string, limit int, now, until time.Time) ([]webservice.Push, error) {
	var claimed []webservice.Push
	err := s.transaction(ctx, "claiming pushes", func(tx *transaction) error {
		var devices []int64
		take := func(query statement, bound time.Time) error {
			if len(claimed) >= limit {
				return nil
			}
			rows, err := tx.tx.StmtContext(ctx, query).QueryContext(ctx, typ, bound.UnixMilli(), limit-len(claimed))
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				p := webservice.Push{Type: typ}
				var device, registered int64
				if err := rows.Scan(&device, &p.Device, &p.DeviceToken, &registered, &p.Sequence, &p.Attempts); err != nil {
					return err
				}
				p.Registered = time.UnixMilli(registered)
				claimed, devices = append(claimed, p), append(devices, device)
			}
			return rows.Err()
		}
		if err := take(s.due, now); err != nil {
			return err
		}
		if err := take(s.dueByClock, now.Add(webservice.MaxDue)); err != nil {
			return err
		}
		for _, device := range devices {
			if _, err := tx.exec(s.claim, device, typ, until.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// Settle implements webservice.Store.
func (s *Store) Settle(ctx context.Context, settlements []webservice.Settlement) (removed int, err error) {
	if len(settlements) == 0 {
		return 0, nil
	}
	err = s.transaction(ctx, "settling pushes", func(tx *transaction) error {
		for _, p := range settlements {
			var err error
			switch p.Verdict {
			case webservice.Later:
				_, err = tx.exec(s.later, p.Device, p.Type, p.Sequence, p.Time.UnixMilli())
			case webservice.Returned:
				_, err = tx.exec(s.returned, p.Device, p.Type, p.Sequence)
			case webservice.Gone:
				var n int
				if n, err = tx.exec(s.gone, p.Device, p.DeviceToken, p.Time.UnixMilli()); err == nil && n == 0 {
					_, err = tx.exec(s.returned, p.Device, p.Type, p.Sequence)
				}
				removed += n
			default:
				_, err = tx.exec(s.told, p.Device, p.Type, p.Sequence)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}
