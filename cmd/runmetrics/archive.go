package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/apexsalesai/runmetrics/events"
)

// archive writes events as NDJSON, one normalised event a line. Packed, it is made of gzip members, each complete.
type archive struct {
	buffered *bufio.Writer
	packer   *gzip.Writer // nil where nothing is packed
	begun    bool         // a member
	line     []byte
	events   int64
}

func newArchive(out io.Writer, packed bool) *archive {
	a := &archive{buffered: bufio.NewWriterSize(out, 256<<10)}
	if packed {
		a.packer = gzip.NewWriter(a.buffered)
	}
	return a
}

func (a *archive) write(e *events.Event) error {
	a.line = append(e.Append(a.line[:0]), '\n')
	a.events++
	if a.packer == nil {
		_, err := a.buffered.Write(a.line)
		return err
	}
	if !a.begun {
		a.packer.Reset(a.buffered)
		a.begun = true
	}
	_, err := a.packer.Write(a.line)
	return err
}

// flush passes on all that was written, so that it can be read.
func (a *archive) flush() error {
	if a.begun {
		a.begun = false
		if err := a.packer.Close(); err != nil {
			return err
		}
	}
	return a.buffered.Flush()
}

// packedName tells whether a file is packed by the look of its name.
func packedName(path string) bool { return strings.HasSuffix(path, ".gz") }

// checkTarget refuses to write over what is there: over a file unless it is to be replaced, and over all else.
func checkTarget(path string, replace bool) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a file", path)
	case !replace:
		return fmt.Errorf("%s is there already: give another name, or --force to replace it", path)
	}
	return nil
}

// syncDirectory makes the name of a file in it last.
func syncDirectory(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
