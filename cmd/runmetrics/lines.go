package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"

	"github.com/apexsalesai/runmetrics/events"
)

// line is a line of a file of events.
type line struct {
	number int // from 1
	text   []byte
}

// readLines gives the lines that are not blank. One that is too long for an event is cut just behind that limit, so that
// decoding refuses it by its length, and the file goes on behind it. The texts are the caller's to keep.
func readLines(r io.Reader) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		buffered := bufio.NewReaderSize(r, events.MaxSize+2)
		for number := 1; ; number++ {
			text, err := buffered.ReadSlice('\n')
			text = bytes.Clone(text)
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = buffered.ReadSlice('\n')
			}
			if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && !yield(line{number, trimmed}, nil) {
				return
			}
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(line{}, err)
				return
			}
		}
	}
}
