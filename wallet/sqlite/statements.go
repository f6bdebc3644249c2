package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// statement is a statement that was prepared.
type statement = *sql.Stmt

// statements are those of the writer. Parameters are ?1, ?2 and so on, in the order
// in which each use gives them.
type statements struct {
	nextSequence, // how many → the last of them
	putDevice, getDevice, leaveDevice,
	putItem, getItem, changeItem,
	putRegistration, dropRegistration,
	queue, requeue, unqueue,
	due, dueByClock, claim,
	told, later, returned, gone statement
}

// prepared is a row of the table of statements.
type prepared struct {
	into *statement
	db   *sql.DB
	text string
}

func (s *Store) table() []prepared {
	return []prepared{
		{&s.nextSequence, s.write, `UPDATE sequence SET last = last + ?1 RETURNING last`},

		{&s.getDevice, s.write, `SELECT id, device_token FROM devices WHERE identifier = ?1`},
		{&s.putDevice, s.write, `
INSERT INTO devices (identifier, device_token, registered) VALUES (?1, ?2, ?3)
ON CONFLICT (identifier) DO UPDATE SET device_token = excluded.device_token, registered = excluded.registered
RETURNING id`},
		{&s.leaveDevice, s.write, `
DELETE FROM devices WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM registrations WHERE device = ?1)`},

		{&s.getItem, s.write, `SELECT id FROM items WHERE type = ?1 AND serial = ?2`},
		{&s.putItem, s.write, `INSERT INTO items (type, serial, sequence, modified) VALUES (?1, ?2, ?3, ?4) RETURNING id`},
		{&s.changeItem, s.write, `
UPDATE items SET sequence = ?3, modified = max(?4, modified + 1) WHERE type = ?1 AND serial = ?2 RETURNING id`},

		{&s.putRegistration, s.write, `INSERT INTO registrations (device, item, sequence) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING`},
		{&s.dropRegistration, s.write, `DELETE FROM registrations WHERE device = ?1 AND item = ?2`},

		{&s.queue, s.write, `
INSERT INTO pushes (device, type, sequence, due, attempts)
SELECT device, ?2, ?3, ?4, 0 FROM registrations WHERE item = ?1
ON CONFLICT (device, type) DO UPDATE SET sequence = excluded.sequence, due = min(due, excluded.due), attempts = 0`},
		{&s.requeue, s.write, `UPDATE pushes SET sequence = ?2, due = ?3, attempts = 0 WHERE device = ?1`},
		{&s.unqueue, s.write, `
DELETE FROM pushes WHERE device = ?1 AND type = ?2 AND NOT EXISTS
	(SELECT 1 FROM registrations r JOIN items i ON i.id = r.item WHERE r.device = ?1 AND i.type = ?2)`},

		// CROSS JOIN keeps the order of the tables: by the index, so that a page costs
		// what it holds, however many are waiting.
		{&s.due, s.write, `
SELECT p.device, d.identifier, d.device_token, d.registered, p.sequence, p.attempts
FROM pushes p CROSS JOIN devices d ON d.id = p.device
WHERE p.type = ?1 AND p.due <= ?2 ORDER BY p.due LIMIT ?3`},
		{&s.dueByClock, s.write, `
SELECT p.device, d.identifier, d.device_token, d.registered, p.sequence, p.attempts
FROM pushes p CROSS JOIN devices d ON d.id = p.device
WHERE p.type = ?1 AND p.due > ?2 ORDER BY p.due LIMIT ?3`},
		{&s.claim, s.write, `UPDATE pushes SET due = ?3 WHERE device = ?1 AND type = ?2`},

		{&s.told, s.write, `
DELETE FROM pushes WHERE device = (SELECT id FROM devices WHERE identifier = ?1) AND type = ?2 AND sequence = ?3`},
		{&s.later, s.write, `
UPDATE pushes SET due = ?4, attempts = attempts + 1
WHERE device = (SELECT id FROM devices WHERE identifier = ?1) AND type = ?2 AND sequence = ?3`},
		{&s.returned, s.write, `
UPDATE pushes SET due = 0
WHERE device = (SELECT id FROM devices WHERE identifier = ?1) AND type = ?2 AND sequence = ?3`},
		{&s.gone, s.write, `DELETE FROM devices WHERE identifier = ?1 AND device_token = ?2 AND registered < ?3`},

		{&s.updated, s.read, `
SELECT i.serial, max(i.sequence, r.sequence) AS latest
FROM devices d JOIN registrations r ON r.device = d.id JOIN items i ON i.id = r.item
WHERE d.identifier = ?1 AND i.type = ?2
	AND (max(i.sequence, r.sequence) > ?3 OR ?3 > (SELECT last FROM sequence))
ORDER BY latest`},
		{&s.modified, s.read, `SELECT modified FROM items WHERE type = ?1 AND serial = ?2`},
	}
}

func (s *Store) prepare(ctx context.Context) error {
	for _, p := range s.table() {
		var err error
		if *p.into, err = p.db.PrepareContext(ctx, p.text); err != nil {
			return fmt.Errorf("preparing a statement: %w", err)
		}
	}
	return nil
}

// transaction runs prepared statements.
type transaction struct {
	ctx context.Context
	tx  *sql.Tx
}

// exec returns how many rows were changed.
func (t *transaction) exec(s statement, args ...any) (int, error) {
	result, err := t.tx.StmtContext(t.ctx, s).ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// row reads one row into into; ok is false if there is none.
func (t *transaction) row(s statement, into []any, args ...any) (ok bool, err error) {
	err = t.tx.StmtContext(t.ctx, s).QueryRowContext(t.ctx, args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// numbers takes n numbers of the sequence and returns the first.
func (t *transaction) numbers(s *Store, n int) (first int64, err error) {
	var last int64
	_, err = t.row(s.nextSequence, []any{&last}, n)
	return last - int64(n) + 1, err
}
