package sqlite

import (
	"context"
	"database/sql"
	"fmt"
)

// migrations bring a database from user_version i to i+1. One that was released is
// never changed; a new one is added at the end.
//
// Times are UNIX times: modified in seconds, since HTTP has nothing finer, the others
// in milliseconds.
var migrations = []string{
	`
CREATE TABLE sequence (
	id   INTEGER PRIMARY KEY CHECK (id = 1),
	last INTEGER NOT NULL
) STRICT;
INSERT INTO sequence VALUES (1, 0);

CREATE TABLE devices (
	id           INTEGER PRIMARY KEY,
	identifier   TEXT NOT NULL UNIQUE,
	device_token TEXT NOT NULL,
	registered   INTEGER NOT NULL
) STRICT;

CREATE TABLE items (
	id       INTEGER PRIMARY KEY,
	type     TEXT NOT NULL,
	serial   TEXT NOT NULL,
	sequence INTEGER NOT NULL, -- of its latest change
	modified INTEGER NOT NULL,
	UNIQUE (type, serial)
) STRICT;

CREATE TABLE registrations (
	device   INTEGER NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
	item     INTEGER NOT NULL REFERENCES items (id) ON DELETE CASCADE,
	sequence INTEGER NOT NULL, -- when it was made
	PRIMARY KEY (device, item)
) STRICT, WITHOUT ROWID;
CREATE INDEX registrations_of_item ON registrations (item);

CREATE TABLE pushes (
	device   INTEGER NOT NULL REFERENCES devices (id) ON DELETE CASCADE,
	type     TEXT NOT NULL,
	sequence INTEGER NOT NULL, -- of the latest change to be told of
	due      INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	PRIMARY KEY (device, type)
) STRICT, WITHOUT ROWID;
CREATE INDEX pushes_due ON pushes (type, due);
`,
}

// migrate brings the schema up to date, in one transaction for each step, so that two
// processes may start at once and a crash leaves whole steps.
func migrate(ctx context.Context, db *sql.DB) error {
	for {
		done, err := migrateOnce(ctx, db)
		if done || err != nil {
			return err
		}
	}
}

func migrateOnce(ctx context.Context, db *sql.DB) (done bool, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback() // of no effect after Commit
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return false, err
	}
	switch {
	case version == len(migrations):
		return true, nil
	case version > len(migrations) || version < 0:
		return false, fmt.Errorf("the database has schema version %d, and this program knows up to %d: it was made by a newer one, or by another program", version, len(migrations))
	}
	if version == 0 {
		// Somebody else's database has tables; adding ours to it would be a surprise.
		var tables int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
			return false, err
		}
		if tables > 0 {
			return false, fmt.Errorf("the database has %d tables and indexes of another program; give the web service a file of its own", tables)
		}
	}
	if _, err := tx.ExecContext(ctx, migrations[version]); err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version+1)); err != nil {
		return false, err
	}
	return false, tx.Commit()
}
