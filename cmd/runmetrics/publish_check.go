package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/apexsalesai/runmetrics/consumer/replay"
	"github.com/apexsalesai/runmetrics/events"
)

// checking is what "publish --check" found so far.
type checking struct {
	lines    atomic.Int64 // looked at; the progress reads it
	good     int64
	repeated int64 // good, and the same as an event before
	refused  map[events.Reason]int64
	seen     map[identity]appearance
}

// identity is what an event is known by: its run and its id, as a hash, so that a large file fits into memory.
type identity [16]byte

// appearance is where an id stood first, and with what.
type appearance struct {
	line    int
	content [16]byte
}

// checkEvents looks at each line of a file as the reader of the stream would, and against the lines before it. It names
// each that would become a dead letter.
func (a *app) checkEvents(ctx context.Context, path string) error {
	file, err := replay.OpenLines(path, a.stdin)
	if err != nil {
		return err
	}
	defer file.Close()
	c := &checking{refused: make(map[events.Reason]int64), seen: make(map[identity]appearance)}
	// Without a terminal nothing is said before the end: the log would need configuration.
	bar := startProgress(a.stderr, slog.New(slog.DiscardHandler),
		progressOf{doing: "checking", unit: "events", count: c.lines.Load})
	err = c.readLines(ctx, file, func(line replay.Line, problem error) {
		bar.Printf("line %d: %v\n", line.Number, problem)
	})
	bar.Stop()
	fmt.Fprintln(a.stdout, c.summary())
	switch {
	case ctx.Err() != nil:
		fmt.Fprintf(a.stderr, "runmetrics: interrupted: %d events were checked, the rest was not\n", c.lines.Load())
		return errLeftovers
	case err != nil:
		return err
	case len(c.refused) > 0:
		return errLeftovers
	}
	return nil
}

// readLines checks line by line until the context ends. Reading a pipe in which nothing comes cannot be ended; it is left
// behind then.
func (c *checking) readLines(ctx context.Context, file io.Reader, refuse func(replay.Line, error)) error {
	type read struct {
		line replay.Line
		err  error
	}
	lines := make(chan read, 256)
	go func() {
		defer close(lines)
		for line, err := range replay.Lines(file) {
			select {
			case lines <- read{line, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	for ctx.Err() == nil {
		select {
		case r, more := <-lines:
			if !more || r.err != nil {
				return r.err
			}
			if problem := c.check(r.line, time.Now()); problem != nil {
				refuse(r.line, problem)
			}
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// check judges one line and returns why it would be refused.
func (c *checking) check(line replay.Line, now time.Time) error {
	c.lines.Add(1)
	e, rejected := events.Decode(events.Message{Data: line.Text, Time: now})
	if rejected != nil {
		c.refused[rejected.Reason]++
		return rejected
	}
	id, content := identify(&e), digest(events.Encode(&e))
	first, again := c.seen[id]
	switch {
	case !again:
		c.seen[id] = appearance{line.Number, content}
		c.good++
	case first.content == content:
		c.repeated++
	default:
		c.refused[events.ConflictingDuplicate]++
		return fmt.Errorf("%s: line %d has the same id in the same run, with other content",
			events.ConflictingDuplicate, first.line)
	}
	return nil
}

func identify(e *events.Event) identity {
	key := e.Key.UUID()
	return digest(append(key[:], e.ID...))
}

func digest(b []byte) [16]byte {
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

// summary says how many lines are good, and how many would be refused for which reason.
func (c *checking) summary() string {
	var total int64
	var parts []string
	for _, reason := range events.Reasons {
		if n := c.refused[reason]; n > 0 {
			total += n
			parts = append(parts, fmt.Sprintf("%s %d", reason, n))
		}
	}
	s := fmt.Sprintf("checked %d, good %d, repeated %d, would be refused %d", c.lines.Load(), c.good, c.repeated, total)
	if total > 0 {
		s += ": " + strings.Join(parts, ", ")
	}
	return s
}
