// Package store keeps what the server must not forget: packages, activations, computers, affectations,
// results and settings, in one SQLite database in the data folder.
//
// Every method that changes something returns after its change is on the disk (WAL, synchronous=FULL):
// what is acknowledged is never lost. Changes that messages of agents make share a transaction where they arrive together.
// Several processes may have the store open at once, the running
// server and any number of commands; each change is one transaction that holds the write lock from its
// first statement, so no method sees half of another's work. Nothing is cached between calls but what contacts
// need of sites, at the version that each contact finds in the database.
//
// The one exception to durability is [Store.Touch], which records contacts and progress in bulk: a power cut
// may lose the last second of them.
//
// Methods are safe for concurrent use. Times come from the caller and are kept as whole seconds.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite" // also the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"enjambre/core"
)

// FileName is the database's name inside the data folder.
const FileName = "enjambre.db"

// Errors that callers tell apart.
var (
	ErrUnknownPackage    = errors.New("no such package")
	ErrUnknownActivation = errors.New("no such activation")
	ErrUnknownComputer   = errors.New("no such computer")
	ErrEnrolled          = errors.New("the computer is enrolled; a stock agent cannot speak for it")
	ErrNotItsKey         = errors.New("the agent's key is not the one this computer enrolled with")
	ErrTooMany           = errors.New("the server has as many computers as it may have; delete those that are gone")
	ErrRevoked           = errors.New("the agent is revoked")
	ErrNotServed         = errors.New("stock agents are not served here; allow them with \"config set STOCK_AGENTS 1\"")
	ErrBusy              = errors.New("another process has been changing the database for too long; try again")
)

// busyTimeout is how long a change waits for another process's change. The longest one, an affectation
// of 100,000 computers, takes a few seconds.
const busyTimeout = 20 * time.Second

// busyPause is when a database is opened again that another process has locked.
const busyPause = 20 * time.Millisecond

// maxComputers bounds what stock agents, which anybody can pretend to be, can make the server remember.
const maxComputers = 250_000

// A Store is an open database. Close it.
type Store struct {
	write *database // one connection, whose transactions take the write lock at once
	read  *database

	cache siteCache

	gathering gathering

	mostComputers int // maxComputers, except in a test
}

// Create makes the database in dir, which must not have one yet. When it fails, it leaves none behind.
func Create(ctx context.Context, dir string) error {
	path := filepath.Join(dir, FileName)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	s := connect(path)
	if err = errors.Join(s.upgrade(ctx), s.Close()); err != nil {
		for _, suffix := range []string{"-wal", "-shm", ""} {
			_ = os.Remove(path + suffix)
		}
	}
	return err
}

// Open opens the database in dir. An older program's is upgraded; a schema newer than this program knows is
// refused with E_VERSION.
func Open(ctx context.Context, dir string) (*Store, error) {
	path := filepath.Join(dir, FileName)
	switch _, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open database: %w; it was lost: restore the last backup", err)
	case err != nil:
		return nil, fmt.Errorf("open database: %w", err)
	}
	s := connect(path)
	version, err := s.version(ctx)
	for until := time.Now().Add(busyTimeout); isBusy(err) && ctx.Err() == nil && time.Now().Before(until); {
		time.Sleep(busyPause) // several open it at once, and SQLite waits for most locks, but not to change to its WAL
		version, err = s.version(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, remedied(dir, err)), s.Close())
	}
	if version == 0 { // what an empty file has
		return nil, errors.Join(fmt.Errorf(
			"database %s holds nothing: it was lost, or never finished; restore the last backup", path), s.Close())
	}
	if version > schemaVersion() {
		return nil, errors.Join(core.Refuse(core.ClassVersion,
			"database %s has schema %d, this program knows %d: use the enjambre-server that made it, or a newer one",
			path, version, schemaVersion()), s.Close())
	}
	if version < schemaVersion() {
		if err := s.upgrade(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("upgrade database %s: %w", path, err), s.Close())
		}
	}
	if err := errors.Join(s.write.prepare(ctx), s.read.prepare(ctx)); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), s.Close())
	}
	return s, nil
}

// remedied adds to why a database in dir cannot be opened the reason that SQLite does not tell, and what helps.
func remedied(dir string, err error) error {
	var problem *sqlite.Error
	if !errors.As(err, &problem) {
		return err
	}
	switch problem.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%w; it is damaged: restore the last backup", err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR:
		draft, writeErr := os.CreateTemp(dir, ".writable-*") // SQLite needs files of its own beside the database
		if writeErr == nil {
			return errors.Join(err, draft.Close(), os.Remove(draft.Name()))
		}
		return fmt.Errorf("%w: nothing can be written to the data folder (%w); make it writable for the user that the server "+
			"runs as, or repair and mount its disk anew", err, writeErr)
	}
	return err
}

func connect(path string) *Store {
	open := func(lock string, most int) *database {
		pragmas := url.Values{
			"_pragma": {fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), "journal_mode(WAL)",
				"synchronous(FULL)", "foreign_keys(1)"},
			"_txlock": {lock},
		}
		name := url.URL{
			Scheme:   "file",
			Opaque:   (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath(),
			RawQuery: pragmas.Encode(),
		}
		db, err := sql.Open("sqlite", name.String())
		if err != nil {
			panic(fmt.Sprintf("store: %v", err)) // only an unknown driver makes Open fail
		}
		db.SetMaxOpenConns(most)
		db.SetMaxIdleConns(most)
		return &database{DB: db}
	}
	// Of those that read, one may be a Watch's.
	return &Store{write: open("immediate", 1), read: open("deferred", 5), mostComputers: maxComputers,
		gathering: gathering{turn: make(chan struct{}, 1)}}
}

// Close closes the database.
func (s *Store) Close() error { return errors.Join(s.write.Close(), s.read.Close()) }

// Check reads the whole database and reports damage. It takes about a second for each 100 MB.
func (s *Store) Check(ctx context.Context) error {
	var verdict string
	if err := s.read.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	if verdict != "ok" {
		return fmt.Errorf("the database is damaged: %s; restore the last backup", verdict)
	}
	return nil
}

// change runs do in a transaction that holds the write lock, and makes its effect durable.
func (s *Store) change(ctx context.Context, do func(*transaction) error) error {
	tx, err := s.write.begin(ctx, nil)
	if isBusy(err) {
		return fmt.Errorf("database: %w", ErrBusy)
	}
	if err != nil {
		return fmt.Errorf("database: %w", interrupted(ctx, err))
	}
	if err := do(tx); err != nil {
		return errors.Join(interrupted(ctx, err), rollback(tx))
	}
	err = tx.Commit()
	if errors.Is(err, sql.ErrTxDone) { // the context's end came first, and has rolled back
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("database: commit: %w", err)
	}
	return nil
}

// isBusy reports whether SQLite gave up waiting for a lock.
func isBusy(err error) bool {
	var problem *sqlite.Error
	return errors.As(err, &problem) && problem.Code()&0xff == sqlite3.SQLITE_BUSY
}

// interrupted returns what went wrong in a transaction, with the end of its context if that has come. At that,
// database/sql rolls back and closes the statements at any moment, of which they say only that they are closed.
func interrupted(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return fmt.Errorf("%w: %w", context.Cause(ctx), err)
}

// rollback ends a transaction without effect. One that a cancelled context has ended already is fine.
func rollback(tx *transaction) error {
	if err := tx.Rollback(); !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}

// view runs do on a snapshot of the database.
func (s *Store) view(ctx context.Context, do func(*transaction) error) error {
	tx, err := s.read.begin(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("database: %w", interrupted(ctx, err))
	}
	return errors.Join(interrupted(ctx, do(tx)), rollback(tx))
}

// each runs a query and calls visit, which scans, for every row.
func each(ctx context.Context, tx *transaction, visit func(scan func(...any) error) error, text string,
	args ...any) (err error) {
	rows, err := tx.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := visit(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// execute runs one statement and returns how many rows it changed.
func execute(ctx context.Context, tx *transaction, text string, args ...any) (int, error) {
	result, err := tx.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	changed, err := result.RowsAffected()
	return int(changed), err
}

// unix is a time as it is kept: 0 for one that never was.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// moment is the reverse of unix.
func moment(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
