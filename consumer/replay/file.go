package replay

import (
	"cmp"
	"context"
	"errors"
	"io"

	"github.com/apexsalesai/runmetrics/events"
)

// File is an archive as a source: NDJSON, one event a line, as `runmetrics export` writes it, compressed or not.
type File struct {
	path   string
	stdin  io.Reader
	filter Filter
	read   bool // stdin was
}

// OpenFile makes a source of a file, or of stdin where the path is "-".
func OpenFile(path string, stdin io.Reader, filter Filter) *File {
	return &File{path: path, stdin: stdin, filter: filter}
}

// Name is the file's.
func (f *File) Name() string { return nameOf(f.path) }

// Read gives a record for each line that is not blank. Lines that hold no event are rejected records without names, so that
// a filter for a campaign or a run leaves them out. Stdin can be read once.
func (f *File) Read(ctx context.Context, each func(*Record) error) error {
	if f.path == stdinPath && f.read {
		return errors.New("standard input cannot be read twice: save it to a file and name that")
	}
	f.read = true
	file, err := OpenLines(f.path, f.stdin)
	if err != nil {
		return err
	}
	defer file.Close()
	for line, err := range Lines(file) {
		if err := cmp.Or(ctx.Err(), err); err != nil {
			return err
		}
		r := Record{Sequence: uint64(line.Number), Size: len(line.Text)}
		r.Event, r.Rejected = events.Decode(events.Message{Data: line.Text})
		if !f.filter.takes(&r) {
			continue
		}
		if err := each(&r); err != nil {
			return err
		}
	}
	return nil
}
