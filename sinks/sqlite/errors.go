package sqlite

import (
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/apexsalesai/runmetrics/sinks"
)

// classify wraps an error of the driver in what it means for the caller. What it does not know is ErrUnavailable: then
// the caller tries again, and nothing is thrown away.
func classify(err error) error {
	if err == nil || classified(err) {
		return err
	}
	meaning := sinks.ErrUnavailable
	var failed *driver.Error
	if errors.As(err, &failed) {
		meaning = meaningOf(failed.Code())
	}
	return fmt.Errorf("%w: %w", meaning, err)
}

func classified(err error) bool {
	var conflict *sinks.VersionConflict
	if errors.As(err, &conflict) {
		return true
	}
	for _, known := range []error{sinks.ErrPositionMoved, sinks.ErrUnavailable, sinks.ErrBlocked, sinks.ErrRefused} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// damaged is a stored value that no program wrote.
func damaged(what string, err error) error {
	return fmt.Errorf("%w: read %s: %w", sinks.ErrBlocked, what, err)
}

// meaningOf reads an extended result code.
func meaningOf(code int) error {
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		// Commit has looked at position and versions under the write lock, so such a row contradicts them: somebody
		// wrote to the file by hand. No value is to blame.
		return sinks.ErrBlocked
	}
	switch code & 0xff {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH:
		return sinks.ErrRefused
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
		sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH,
		sqlite3.SQLITE_ERROR: // no such table or column: the schema was changed by hand
		return sinks.ErrBlocked
	}
	return sinks.ErrUnavailable // busy, locked, full, I/O error, interrupted, out of memory
}
