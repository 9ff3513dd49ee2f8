package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/sinks"
)

func (a *app) exportLetters() *cobra.Command {
	e := &letterExport{letters: letters{app: a}}
	cmd := &cobra.Command{
		Use:   "export [FILE|-]",
		Short: "Write dead letters with their payloads to a file",
		Long: `export writes one JSON object a line for each dead letter: position, reason, bad fields, time, subject, headers and
payload, in base64 and as text where it is text. Headers and what is beyond the first 4096 bytes of a payload are there as
long as the stream holds the message.

A file whose name ends in .gz is compressed. One that exists is not overwritten.`,
		Example: `  runmetrics deadletters export | jq -r .payload.text
  runmetrics deadletters export --reason malformed --all letters.ndjson.gz`,
		Args: func(cmd *cobra.Command, args []string) error {
			return errors.Join(cobra.MaximumNArgs(1)(cmd, args), e.check())
		},
		RunE: a.enter(e.run),
	}
	e.filterFlags(cmd)
	cmd.Flags().BoolVar(&e.resolved, "all", false, "also those that were dealt with")
	return cmd
}

// letterExport is one run of the command.
type letterExport struct {
	letters
	written int64
}

func (e *letterExport) run(ctx context.Context, args []string) (err error) {
	if err := e.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.store.Close()) }()
	name := "-"
	if len(args) > 0 {
		name = args[0]
	}
	out, err := createLines(name, e.app.stdout)
	if err != nil {
		return err
	}
	from, done := e.originals()
	defer done()
	err = e.pages(ctx, true, func(page []sinks.Letter) error { return e.write(ctx, out, from, page) })
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, out.discard())
	}
	fmt.Fprintf(e.app.stderr, "wrote %d dead letters\n", e.written)
	return nil
}

func (e *letterExport) write(ctx context.Context, w io.Writer, from *originals, page []sinks.Letter) error {
	contents, err := from.contents(ctx, page)
	if err != nil {
		return err
	}
	lines := json.NewEncoder(w)
	for i := range page {
		if err := lines.Encode(fullRecord(&page[i], &contents[i])); err != nil {
			return err
		}
		e.written++
	}
	return nil
}

// linesFile is a file of lines as it is written.
type linesFile struct {
	io.Writer
	close []func() error
	path  string // empty of stdout
}

// discard removes a file that was not finished.
func (f *linesFile) discard() error {
	if f.path == "" {
		return nil
	}
	return os.Remove(f.path)
}

// Close writes what is left, and closes the file.
func (f *linesFile) Close() error {
	var errs []error
	for _, step := range f.close {
		errs = append(errs, step())
	}
	return errors.Join(errs...)
}

// createLines makes a file, or writes to stdout where the name is -.
func createLines(name string, stdout io.Writer) (*linesFile, error) {
	if name == "-" {
		buffered := bufio.NewWriter(stdout)
		return &linesFile{Writer: buffered, close: []func() error{buffered.Flush}}, nil
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // payloads may hold anything
	if err != nil {
		return nil, fmt.Errorf("write dead letters: %w", err)
	}
	buffered := bufio.NewWriter(file)
	f := &linesFile{Writer: buffered, close: []func() error{buffered.Flush, file.Close}, path: name}
	if packedName(name) {
		packed := gzip.NewWriter(buffered)
		f.Writer, f.close = packed, append([]func() error{packed.Close}, f.close...)
	}
	return f, nil
}
