package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"os"

	"github.com/apexsalesai/runmetrics/sinks"
)

// file is the database file as it was opened. Whoever puts another one in its place, or removes it, does not change what
// open connections read and write: they go on with a file that has no name any more, and what is committed to it is gone
// with the process.
type file struct {
	path      string
	info, log os.FileInfo // of the file and of its write-ahead log, nil until the store is open
}

const (
	logSuffix   = "-wal"
	indexSuffix = "-shm" // of the log
)

// remember takes the file that lies there now for the one that was opened.
func (f *file) remember() (err error) {
	if f.info, err = os.Stat(f.path); err != nil {
		return err
	}
	f.log, err = os.Stat(f.path + logSuffix)
	return err
}

// inPlace is ErrBlocked once another file, or none, lies where the opened one lay. The new one is not touched before the
// next start: it may still be on its way.
func (f *file) inPlace() error {
	if f.info == nil {
		return nil
	}
	now, err := os.Stat(f.path)
	if err == nil && os.SameFile(now, f.info) || err != nil && !os.IsNotExist(err) {
		return nil
	}
	f.setLogAside()
	return fmt.Errorf("%w: %s was replaced or removed while it was in use; stop runmetrics, see that the file is whole, "+
		"and start it again", sinks.ErrBlocked, f.path)
}

// setLogAside renames a log that lies beside the new file but belongs to the old one. The next start would write its pages
// into the wrong file.
func (f *file) setLogAside() {
	log, err := os.Stat(f.path + logSuffix)
	if err != nil || !os.SameFile(log, f.log) {
		return
	}
	_ = os.Rename(f.path+logSuffix, f.path+logSuffix+".replaced") // what can be done against a failure is in the message
	_ = os.Remove(f.path + indexSuffix)
}

// connector opens connections to the file that was opened first, and to no other.
type connector struct {
	driver driver.Driver
	source string
	file   *file
}

func (c *connector) Driver() driver.Driver { return c.driver }

// Connect is ErrBlocked where another file lies in the place.
func (c *connector) Connect(context.Context) (driver.Conn, error) {
	if err := c.file.inPlace(); err != nil {
		return nil, err
	}
	return c.driver.Open(c.source)
}
