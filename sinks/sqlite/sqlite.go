package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	_ "modernc.org/sqlite" // the driver

	"github.com/apexsalesai/runmetrics/sinks"
)

// Config says where the database is and what is kept in it.
type Config struct {
	// Path of the database file; required. It is made where it does not exist, its directory is not.
	Path string
	// DeadLetterLimit is how many dead letters are kept for each stream and reason; 0 is 100,000. Beyond it only their
	// number and the range of their sequences are.
	DeadLetterLimit int
	// Marks makes commits write outbox marks.
	Marks bool
	// Host is the machine's part of Identity; empty is os.Hostname. It must stay the same where the machine's name does
	// not, as in a container.
	Host string
}

const defaultDeadLetterLimit = 100_000

// readers is how many reads may be under way at once. None of them waits for the writer, nor it for them.
const readers = 4

// Store is a database file. It is a sinks.Store.
type Store struct {
	writer *sql.DB // one connection: SQLite has one writer, and a queue here is fairer than its busy handler
	reader *sql.DB
	file   file

	commit statements

	identity        sinks.Identity
	deadLetterLimit int
	marks           bool
}

var _ sinks.Store = (*Store)(nil)

// Open opens the database and brings its schema up to date. A schema of a later program is ErrSchema, and left as it is.
// While another process makes the same file Open may be ErrUnavailable.
func Open(ctx context.Context, c Config) (*Store, error) {
	s, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open sqlite store: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, c Config) (_ *Store, err error) {
	if c.Path == "" {
		return nil, fmt.Errorf("%w: no path given", sinks.ErrBlocked)
	}
	if c.DeadLetterLimit == 0 {
		c.DeadLetterLimit = defaultDeadLetterLimit
	}
	s := &Store{deadLetterLimit: c.DeadLetterLimit, marks: c.Marks}
	if s.identity.Host, s.identity.Database, err = location(c); err != nil {
		return nil, fmt.Errorf("%w: %w", sinks.ErrBlocked, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	ownFile(s.identity.Database)
	if s.writer, err = sql.Open("sqlite", dsn(s.identity.Database, writerOptions)); err != nil {
		return nil, classify(err)
	}
	s.writer.SetMaxOpenConns(1)
	if err := migrate(ctx, s.writer); err != nil {
		return nil, err
	}
	if err := s.commit.prepare(ctx, s.writer); err != nil {
		return nil, classify(err)
	}
	s.file.path = s.identity.Database
	s.reader = sql.OpenDB(&connector{s.writer.Driver(), dsn(s.identity.Database, readerOptions), &s.file})
	s.reader.SetMaxOpenConns(readers)
	s.reader.SetMaxIdleConns(readers)
	if err = s.reader.QueryRowContext(ctx, "SELECT id FROM ledger").Scan(&s.identity.Ledger); err != nil {
		return nil, classify(err)
	}
	return s, classify(s.file.remember())
}

// ownFile makes the file where there is none, so that nobody but its owner may read it, nor the files that SQLite puts beside
// it with the same mode. Where it cannot be made SQLite says why.
func ownFile(path string) {
	if file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err == nil {
		_ = file.Close()
	}
}

// location names the machine and the file. Links among its directories are followed, so that two such paths to one file are
// one identity.
func location(c Config) (host, path string, err error) {
	if host = c.Host; host == "" {
		if host, err = os.Hostname(); err != nil {
			return "", "", err
		}
	}
	directory, err := filepath.Abs(filepath.Dir(c.Path))
	if err != nil {
		return "", "", err
	}
	if directory, err = filepath.EvalSymlinks(directory); err != nil {
		return "", "", err
	}
	return host, filepath.Join(directory, filepath.Base(c.Path)), nil
}

// What the connections are told; see the package comment for synchronous. busy_timeout is for other processes only. The log
// is moved into the file at 16 MiB rather than 4, so that a page which several commits touch is moved once.
var (
	writerOptions = url.Values{"_txlock": {"immediate"}, "_journal_mode": {"WAL"}, "_pragma": {"busy_timeout(5000)",
		"synchronous(NORMAL)", "foreign_keys(1)", "temp_store(MEMORY)", "cache_size(-16384)", "wal_autocheckpoint(4096)"}}
	readerOptions = url.Values{"_query_only": {"1"}, "_pragma": {"busy_timeout(5000)", "temp_store(MEMORY)"}}
)

// dsn makes the driver's name of a file. The path is escaped, because it may hold any character.
func dsn(path string, options url.Values) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") { // a drive letter
		path = "/" + path
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}
	return u.String()
}

// Identity names the file.
func (s *Store) Identity(context.Context) (sinks.Identity, error) { return s.identity, nil }

// Close closes the database. Calls after it fail with ErrUnavailable.
func (s *Store) Close() error {
	_ = s.file.inPlace() // before a log that belongs to no file any more is left for the next start
	var errs []error
	for _, db := range []*sql.DB{s.reader, s.writer} { // the last to close moves the log into the file
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return classify(errors.Join(errs...))
}

// keysJSON is a list of run keys as one parameter, for json_each.
func keysJSON(keys []uuid.UUID) string {
	b := make([]byte, 0, 2+39*len(keys))
	for i, key := range keys {
		b = append(b, "[,"[min(i, 1)], '"')
		b = append(b, key.String()...)
		b = append(b, '"')
	}
	if len(keys) == 0 {
		b = append(b, '[')
	}
	return string(append(b, ']'))
}
