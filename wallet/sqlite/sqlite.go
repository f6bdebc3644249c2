// Package sqlite keeps the registrations, changes and pending pushes of package
// webservice in an SQLite database, a file on the local disk.
//
// SQLite has one writer at a time, whichever process it is in, and every write is on
// the disk before it returns. That is enough for a web service whose devices call when
// something changed; who outgrows it writes a Store for their own database, and
// package storetest says whether it is right.
//
// The database is opened in WAL mode: readers wait for nobody. Copy it with SQLite's
// tools (.backup, VACUUM INTO) rather than with cp, since what was written last is in a
// second file beside it. It must not lie on a network file system. The file holds
// device tokens and what devices call themselves: keep it as private as the keys.
package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite" // the driver, too: SQLite translated to Go, so that no C compiler is needed

	"aviso.example/wallet/webservice"
)

const (
	// busyTimeout is how long a writer waits for another process's, in
	// milliseconds. The longest transaction is a change of a pass that a million
	// devices have, some seconds.
	busyTimeout = 30_000
	// busyPause is how long Open waits where SQLite does not.
	busyPause = 10 * time.Millisecond
	// codeBusy is SQLITE_BUSY ("Result and Error Codes"); the bits above the lowest
	// eight tell variants of it.
	codeBusy = 5
	// maxLog is what the second file keeps, in bytes, after a large transaction made it
	// larger.
	maxLog = 64 << 20
	// maxReaders is how many connections read at once.
	maxReaders = 4
)

// Store is a webservice.Store. It is safe for concurrent use, also by several
// processes on one machine.
type Store struct {
	write *sql.DB // one connection: a second writer would only wait inside SQLite
	read  *sql.DB

	// Prepared once. Those that write run inside a transaction of write.
	updated, modified statement
	statements
}

var _ webservice.Store = (*Store)(nil)

// Open opens or makes the database at path and brings its schema up to date. The
// folder has to be there. Close it when nothing uses it any more.
func Open(path string) (_ *Store, err error) {
	if path == "" || path == ":memory:" {
		return nil, errors.New("sqlite: a path is needed: what is kept has to outlive the process")
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	// SQLite would make it readable to all.
	if f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	} else if err := f.Close(); err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	s := &Store{}
	defer func() {
		if err != nil {
			s.Close()
			err = fmt.Errorf("sqlite: %s: %w", path, err)
		}
	}()
	if s.write, err = sql.Open("sqlite", dsn(path, false)); err != nil {
		return nil, err
	}
	s.write.SetMaxOpenConns(1)
	ctx := context.Background()
	if err = begin(ctx, s.write); err != nil {
		return nil, err
	}
	if s.read, err = sql.Open("sqlite", dsn(path, true)); err != nil {
		return nil, err
	}
	s.read.SetMaxOpenConns(maxReaders)
	s.read.SetMaxIdleConns(maxReaders)
	if err = s.prepare(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// begin connects for the first time. Two processes that make the database at the same
// moment meet where it is switched to WAL mode: SQLite does not wait there, and says
// that it is busy.
func begin(ctx context.Context, db *sql.DB) error {
	for waited := time.Duration(0); ; waited += busyPause {
		err := migrate(ctx, db)
		if e, ok := errors.AsType[*sqlite.Error](err); !ok || e.Code()&0xff != codeBusy || waited > busyTimeout*time.Millisecond {
			return err
		}
		time.Sleep(busyPause)
	}
}

// dsn is the address for the driver. Synchronous FULL makes a commit in WAL mode last
// through a power loss. Transactions of the writer are immediate: one that began by
// reading could not become a writer if another wrote meanwhile.
func dsn(path string, readOnly bool) string {
	q := url.Values{"_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout), "synchronous(FULL)", "foreign_keys(1)"}}
	if readOnly {
		q.Add("_pragma", "query_only(1)")
	} else {
		q.Add("_pragma", "journal_mode(WAL)") // the file keeps it
		q.Add("_pragma", fmt.Sprintf("journal_size_limit(%d)", maxLog))
		q.Set("_txlock", "immediate")
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	return u.String()
}

// Close closes the database. Calls that are under way end first.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.read, s.write} { // the writer last: it tidies up the WAL
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// transaction runs f in a transaction of the writer, which waits for those of others.
func (s *Store) transaction(ctx context.Context, what string, f func(tx *transaction) error) error {
	tx, err := s.write.BeginTx(ctx, nil)
	if err == nil {
		defer tx.Rollback() // of no effect after Commit
		if err = f(&transaction{ctx, tx}); err == nil {
			err = tx.Commit()
		}
	}
	if err != nil {
		return fmt.Errorf("sqlite: %s: %w", what, cmp.Or(context.Cause(ctx), err))
	}
	return nil
}
