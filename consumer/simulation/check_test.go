package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// queries read the tables of both databases in one form; what is read in another way has none.
var queries = map[string]string{
	"voided_events":      `SELECT CAST(run_key AS text), event_id FROM voided_events`,
	"dead_letters":       `SELECT stream, epoch, sequence, subject, campaign_id, run_id, reason, field, payload FROM dead_letters`,
	"dead_letter_counts": `SELECT stream, reason, kept, dropped, first_dropped, last_dropped FROM dead_letter_counts`,
	"agent_runs": `SELECT CAST(run_key AS text), campaign_id, run_id, phase, id, agent_id, attempt, status, latency_ms, tokens_in,
		tokens_out, assets_generated, cost_nanos FROM agent_runs`,
	"dataverse_outbox": `SELECT CAST(run_key AS text), closed FROM dataverse_outbox`,
}

// broken are rows that must not be: of runs whose version is not the number of their commits, or not the one marked, and
// of positions whose parts are not their sum.
const broken = `
SELECT 'version', CAST(m.run_key AS text), m.version, c.n, c.least, c.most, o.version
FROM campaign_metrics m
LEFT JOIN (SELECT number, count(*) AS n, min(version) AS least, max(version) AS most FROM event_chunks GROUP BY number) c
	ON c.number = m.number
LEFT JOIN dataverse_outbox o ON o.run_key = m.run_key
WHERE m.version <> c.n OR c.least <> 1 OR c.most <> m.version OR o.version <> m.version OR c.n IS NULL OR o.version IS NULL
UNION ALL
SELECT 'position', stream, sequence, applied, duplicates, dead_letters, gone
FROM stream_positions WHERE sequence <> applied + duplicates + dead_letters + gone`

// check compares every table with what the streams say up to the stored positions, at any moment. What was found right
// and not written to since is right still.
func (w *world) check(ctx context.Context) error {
	written, err := w.database.written(ctx)
	if err != nil {
		return err
	}
	if written {
		if err := w.compared(ctx); err != nil {
			return err
		}
	}
	return w.conserved()
}

// compared reads every table.
func (w *world) compared(ctx context.Context) error {
	if err := w.follow(ctx); err != nil {
		return err
	}
	positions, err := w.positions(ctx)
	if err != nil {
		return err
	}
	o := newOracle()
	for _, got := range positions {
		t, err := w.timelineOf(got)
		if err != nil {
			return err
		}
		if want := o.read(got, t); got != want {
			return fmt.Errorf("stream_positions has   %+v\n                 wants %+v", got, want)
		}
	}
	got, err := w.tables(ctx)
	if err != nil {
		return err
	}
	want := o.tables()
	var found strings.Builder
	for name := range got {
		found.WriteString(differences(name, got[name], want[name]))
	}
	for _, row := range got["broken"] {
		fmt.Fprintf(&found, "inconsistent   %s\n", row)
	}
	if found.Len() > 0 {
		return errors.New(found.String())
	}
	return nil
}

// positions reads all epochs of all streams, oldest first.
func (w *world) positions(ctx context.Context) ([]sinks.Position, error) {
	rows, err := w.database.query(ctx, `SELECT stream, epoch, created, sequence, coalesce(message_time, ''), applied,
		duplicates, dead_letters, gone FROM stream_positions ORDER BY epoch, stream`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []sinks.Position
	for rows.Next() {
		var p sinks.Position
		var created, at string
		if err := rows.Scan(&p.Stream, &p.Epoch, &created, &p.Sequence, &at, &p.Applied, &p.Duplicates, &p.DeadLetters, &p.Gone); err != nil {
			return nil, err
		}
		if p.Created, err = time.Parse(time.RFC3339Nano, created); err != nil {
			return nil, err
		}
		if at != "" {
			if p.MessageTime, err = time.Parse(time.RFC3339Nano, at); err != nil {
				return nil, err
			}
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// timelineOf finds which of its stream's timelines a position belongs to.
func (w *world) timelineOf(p sinks.Position) (*timeline, error) {
	for _, s := range w.streams {
		for _, t := range s.timelines {
			if s.name == p.Stream && t.created.Equal(p.Created) {
				return t, nil
			}
		}
	}
	return nil, fmt.Errorf("position %+v is of no stream", p)
}

// tables reads all but the positions.
func (w *world) tables(ctx context.Context) (map[string][]string, error) {
	all := make(map[string][]string)
	for name, query := range queries {
		lines, err := w.database.rows(ctx, query)
		if err != nil {
			return nil, err
		}
		slices.Sort(lines)
		all[name] = lines
	}
	var err error
	if all["broken"], err = w.database.rows(ctx, broken); err != nil {
		return nil, err
	}
	records, err := w.database.store.List(ctx, sinks.Filter{}, nil, 500)
	if err != nil {
		return nil, err
	}
	for _, m := range records {
		all["campaign_metrics"] = append(all["campaign_metrics"], record(m))
		list, err := sinks.EventsOf(ctx, w.database.store, m.RunKey)
		if err != nil {
			return nil, err
		}
		for i := range list {
			all["event_chunks"] = append(all["event_chunks"], line(m.RunKey, string(events.Encode(&list[i]))))
		}
	}
	slices.Sort(all["campaign_metrics"])
	slices.Sort(all["event_chunks"])
	return all, nil
}

// record is a row of campaign_metrics without what depends on how commits were cut.
func record(m aggregate.Metrics) string {
	m.Version, m.UpdatedAt = 0, time.Time{}
	text, err := json.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// conserved checks each process: what it read is accounted for.
func (w *world) conserved() error {
	for _, r := range w.replicas {
		for _, reader := range r.readers {
			s := reader.Status()
			if s.Read != s.Applied+s.Duplicates+s.DeadLetters+s.Discarded+s.InFlight {
				return fmt.Errorf("%s: counts do not add up: %+v", r.name, s)
			}
		}
	}
	return nil
}

// states tells what every reader says of itself, and the broker of its consumers.
func (w *world) states(ctx context.Context) string {
	var b strings.Builder
	for _, s := range w.streams {
		c, err := w.js.Consumer(ctx, s.name, pinConsumer)
		if err != nil {
			fmt.Fprintf(&b, "consumer of %s: %v\n", s.name, err)
			continue
		}
		i := c.CachedInfo()
		fmt.Fprintf(&b, "consumer of %s: delivered %d, acknowledged %d, %d to come, %d requests wait, pins %+v\n", s.name, i.Delivered.Stream,
			i.AckFloor.Stream, i.NumPending, i.NumWaiting, i.PriorityGroups)
	}
	for _, r := range w.living() {
		for _, reader := range r.readers {
			s := reader.Status()
			fmt.Fprintf(&b, "%s %s: %s at %d of %d %s %s\n", r.name, s.Stream, s.State, s.Position.Sequence, s.LastSequence,
				strconv.Quote(s.Reason), strconv.Quote(s.Note))
		}
	}
	return b.String()
}

// active tells whether somebody reads every stream and nobody is in trouble.
func (w *world) active() bool {
	reads := make(map[string]bool)
	for _, r := range w.living() {
		for _, reader := range r.readers {
			switch s := reader.Status(); s.State {
			case consumer.Active:
				reads[s.Stream] = true
			case consumer.Degraded, consumer.Blocked:
				return false
			}
		}
	}
	return len(reads) == len(w.streams)
}
