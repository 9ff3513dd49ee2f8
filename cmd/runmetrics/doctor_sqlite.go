package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

const (
	// readThrough is how large a SQLite file may be to be read through: some seconds.
	readThrough = 4_000_000_000
	// readThroughTime bounds it where the disk is slow.
	readThroughTime = 15 * time.Second
)

// sqliteReady tells whether there is a file that can be opened.
func (d *doctor) sqliteReady(ctx context.Context) bool {
	path := sqlitePath(d.cfg)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		d.warn(areaDatabase, "sqlite", "there is no "+path+" yet",
			"runmetrics run and runmetrics setup make it; if it was there, set DATA_DIR, or DATABASE_URL for Postgres")
		return false
	case err != nil:
		d.fail(areaDatabase, "sqlite", err.Error(), "give this user the right to read DATA_DIR")
		return false
	case info.IsDir():
		d.fail(areaDatabase, "sqlite", path+" is a directory, where the file of the database must be",
			fmt.Sprintf("`mv %s %[1]s.aside`, and put the file back; if there was none, `runmetrics setup --adopt` makes one", path))
		return false
	}
	if !isSQLite(path, info.Size()) {
		d.fail(areaDatabase, "sqlite", path+" is not a SQLite file", d.damageFix())
		return false
	}
	return d.whole(ctx, path, info.Size())
}

// sqliteMagic begins every SQLite file.
const sqliteMagic = "SQLite format 3\x00"

// isSQLite tells whether a file begins as one. An empty one will.
func isSQLite(path string, size int64) bool {
	if size == 0 {
		return true
	}
	file, err := os.Open(path)
	if err != nil {
		return true // opening it says why not
	}
	defer file.Close()
	head := make([]byte, len(sqliteMagic))
	_, err = io.ReadFull(file, head)
	return err == nil && string(head) == sqliteMagic
}

// whole reads the file through, where that takes no longer than a person waits.
func (d *doctor) whole(ctx context.Context, path string, size int64) bool {
	if size > readThrough {
		d.ok(areaDatabase, "file", fmt.Sprintf("%s has %s, too much to be read through here: `sqlite3 %[1]s "+
			"'PRAGMA quick_check'` does it",
			path, bytesText(size)))
		return true
	}
	limited, cancel := context.WithTimeout(ctx, readThroughTime)
	defer cancel()
	problem, err := sqlite.Inspect(limited, path)
	switch {
	case problem != "":
		d.fail(areaDatabase, "file", path+" is damaged: "+problem, d.damageFix())
	case errors.Is(err, sinks.ErrBlocked):
		d.fail(areaDatabase, "file", path+": "+err.Error(), d.damageFix())
	case err != nil && limited.Err() != nil:
		d.ok(areaDatabase, "file", path+" could not be read through within "+readThroughTime.String())
		return true
	case err != nil:
		d.fail(areaDatabase, "file", path+": "+err.Error(), d.sqliteFix(err))
	default:
		d.ok(areaDatabase, "file", fmt.Sprintf("%s, %s, is whole", path, bytesText(size)))
	}
	return problem == "" && err == nil
}

// damageFix says how to go on without the file. Events that the stream still holds come back by themselves.
func (d *doctor) damageFix() string {
	adopt := ""
	if d.cfg.NATSURL.IsSet() {
		adopt = "run `runmetrics setup --adopt` for a new file, "
	}
	return fmt.Sprintf("stop runmetrics run, put a backup in its place or `mv %s %[1]s.damaged`, %sand start it again: it reads the "+
		"stream from where that ends; without a backup, runs that the stream does not hold any more are gone", sqlitePath(d.cfg), adopt)
}

// sqliteFix is what to do about an error of the file that does not say it.
func (d *doctor) sqliteFix(err error) string {
	if errors.Is(err, sinks.ErrUnavailable) {
		return fmt.Sprintf("another program has the file: `fuser -v %s` names it; end it", sqlitePath(d.cfg))
	}
	return ""
}
