package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/sinks"
)

func (a *app) showLetter() *cobra.Command {
	s := &showing{letters: letters{app: a}}
	cmd := &cobra.Command{
		Use:   "show --sequence N",
		Short: "Show one dead letter with its headers and payload",
		Long: `show prints all that is known of the dead letter at a sequence of a stream: every bad field, and headers and payload of
the message as long as the stream holds it. After that there are no headers, and of the payload what the store kept: the
first 4096 bytes. A payload that is no text is shown byte by byte. --raw prints the payload alone, as it is: to be edited
and given to "runmetrics deadletters requeue --payload".`,
		Example: `  runmetrics deadletters show --sequence 1041
  runmetrics deadletters show --sequence 1041 --raw > one.json
  runmetrics deadletters show --stream RUN_EVENTS_1 --sequence 1041 --epoch 2 --output json`,
		Args: checkedFlags(func() error {
			if s.sequence == 0 {
				return errors.New("--sequence is required: runmetrics deadletters list shows it")
			}
			return s.check()
		}),
		RunE: a.enter(s.show),
	}
	cmd.Flags().StringVar(&s.stream, "stream", "", "of this `stream`; default: the one in STREAMS")
	cmd.Flags().BoolVar(&s.raw, "raw", false, "print the payload alone, byte for byte")
	s.positionFlags(cmd)
	outputFlag(cmd, &s.output)
	return cmd
}

// showing is one run of the command.
type showing struct {
	letters
	raw    bool
	output outputFormat
}

func (s *showing) show(ctx context.Context, _ []string) (err error) {
	if err := s.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.store.Close()) }()
	letter, err := s.one(ctx)
	if err != nil {
		return err
	}
	from, done := s.originals()
	defer done()
	c, err := from.content(ctx, letter)
	if err != nil {
		return err
	}
	if s.raw {
		return s.writeRaw(&c)
	}
	record := fullRecord(letter, &c)
	if s.output == jsonOutput {
		return writeJSON(s.app.stdout, record)
	}
	return s.write(&record)
}

// originals reads from the streams where these can be reached; where they cannot, the store has to do.
func (l *letters) originals() (*originals, func()) {
	conn, err := l.connect("deadletters")
	if err != nil {
		l.log.Warn("headers and whole payloads are in NATS, which cannot be reached", "error", err)
		return &originals{}, func() {}
	}
	js, err := jetstream.New(conn)
	if err != nil {
		l.log.Warn("headers and whole payloads are in NATS, which cannot be used", "error", err)
	}
	return &originals{js: js, refusals: &l.refusals}, conn.Close
}

// fullRecord is a letter with its payload.
func fullRecord(l *sinks.Letter, c *content) letterRecord {
	r := recordOf(l)
	r.Headers = c.header
	r.Content = &letterContent{Source: "store", Whole: c.whole(), Base64: c.data}
	if c.stream {
		r.Content.Source = "stream"
	}
	if utf8.Valid(c.data) {
		r.Content.Text = string(c.data)
	}
	return r
}

// writeRaw prints a payload as it came. One that is cut would be taken for another message.
func (s *showing) writeRaw(c *content) error {
	if !c.whole() {
		return errors.New("the message has left the stream, and the store kept its first 4096 bytes only; without --raw they are shown")
	}
	_, err := s.app.stdout.Write(c.data)
	return err
}

func (s *showing) write(r *letterRecord) error {
	lines := [][]string{
		{"stream", printable(r.Stream)},
		{"epoch", fmt.Sprint(r.Epoch)},
		{"sequence", fmt.Sprint(r.Sequence)},
		{"stored", r.Time.Format(time.RFC3339Nano)},
		{"subject", printable(r.Subject)},
		{"campaign", printable(r.CampaignID)},
		{"run", printable(r.RunID)},
		{"reason", string(r.Reason)},
	}
	for i, fault := range badFields(r) {
		lines = append(lines, []string{[]string{"why", ""}[min(i, 1)], printable(fault)})
	}
	if r.Resolution != "" {
		lines = append(lines, []string{"resolved", r.ResolvedAt.Format(time.RFC3339) + ": " + printable(r.Resolution)})
	}
	for i, name := range slices.Sorted(maps.Keys(r.Headers)) {
		lines = append(lines, []string{[]string{"headers", ""}[min(i, 1)], printable(name + ": " + strings.Join(r.Headers[name], ", "))})
	}
	lines = append(lines, []string{"payload", r.Content.describe()})
	if err := writeColumns(s.app.stdout, lines); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.app.stdout, "\n%s\n", payloadText(r.Content.Base64))
	return err
}

// badFields are the bad fields with their rules, or the one fault of the message as a whole.
func badFields(r *letterRecord) []string {
	detail := strings.TrimPrefix(r.Detail, string(r.Reason)+": ")
	if r.Field == "" {
		return []string{detail}
	}
	return strings.Split(detail, "; ")
}

func (c *letterContent) describe() string {
	switch {
	case c.Source == "stream":
		return fmt.Sprintf("%d bytes", len(c.Base64))
	case c.Whole:
		return fmt.Sprintf("%d bytes, as the store kept them", len(c.Base64))
	}
	return fmt.Sprintf("the first %d bytes, as the store kept them: the rest is nowhere any more", len(c.Base64))
}

// payloadText shows a payload on a terminal: as it is where it is text, quoted where it is text that would do something to
// the terminal, else byte by byte.
func payloadText(data []byte) string {
	text := string(data)
	switch {
	case !utf8.ValidString(text):
		return strings.TrimSuffix(hex.Dump(data), "\n")
	case strings.ContainsFunc(text, func(c rune) bool { return c != '\n' && c != '\t' && !unicode.IsPrint(c) }):
		return strconv.Quote(text)
	}
	return text
}
