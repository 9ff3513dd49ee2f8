package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/apexsalesai/runmetrics/events"
)

// stdinPath stands for standard input.
const stdinPath = "-"

func nameOf(path string) string {
	if path == stdinPath {
		return "standard input"
	}
	return path
}

// Line is a line of a file of events.
type Line struct {
	Number int // from 1
	Text   []byte
}

// Lines gives the lines that are not blank. One that is too long for an event is cut just behind that limit, so that
// decoding refuses it by its length, and the file goes on behind it. The texts are the caller's to keep.
func Lines(r io.Reader) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		buffered := bufio.NewReaderSize(r, events.MaxSize+2)
		for number := 1; ; number++ {
			text, err := buffered.ReadSlice('\n')
			text = bytes.Clone(text)
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = buffered.ReadSlice('\n')
			}
			// Of a file that breaks off, the last line may be cut.
			whole := err == nil || err == io.EOF
			if trimmed := bytes.TrimSpace(text); whole && len(trimmed) > 0 && !yield(Line{number, trimmed}, nil) {
				return
			}
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Line{}, fmt.Errorf("line %d: %w", number, err))
				return
			}
		}
	}
}

// OpenLines opens a file of events, or stdin where the path is "-", and unpacks it where it begins as gzip does, however it
// is called. Closing leaves stdin open.
func OpenLines(path string, stdin io.Reader) (io.ReadCloser, error) {
	if path == stdinPath {
		return unpack(path, io.NopCloser(stdin))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return unpack(path, file)
}

// archive is a file of events as it is read.
type archive struct {
	path string
	io.Reader
	io.Closer
}

func unpack(path string, file io.ReadCloser) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(file, 64<<10)
	a := &archive{path, buffered, file}
	magic, err := buffered.Peek(2)
	if err != nil && err != io.EOF {
		return nil, errors.Join(a.explain(err), file.Close())
	}
	if !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return a, nil
	}
	if a.Reader, err = gzip.NewReader(buffered); err != nil {
		return nil, errors.Join(a.explain(err), file.Close())
	}
	return a, nil
}

// Read reads what is in the file, unpacked.
func (a *archive) Read(p []byte) (int, error) {
	n, err := a.Reader.Read(p)
	return n, a.explain(err)
}

// explain names the file in an error, and what is the matter with it.
func (a *archive) explain(err error) error {
	switch {
	case err == nil, err == io.EOF:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s breaks off in the middle of its gzip data: it was cut, or is still being written", nameOf(a.path))
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return fmt.Errorf("%s is damaged: %w", nameOf(a.path), err)
	}
	return fmt.Errorf("read %s: %w", nameOf(a.path), err)
}
