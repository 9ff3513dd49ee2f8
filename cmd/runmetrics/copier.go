package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/query"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// copier keeps the copy in Dataverse: the dispatcher, and who tells it when to work.
type copier struct {
	client     *dataverse.Client
	dispatcher *dataverse.Dispatcher

	mu      sync.Mutex
	streams map[string]bool // those that this process reads
}

// openCopier makes the dispatcher where there is to be a copy. It works while this process reads a stream, and is woken by
// whoever commits or marks runs of this deployment, in any process.
func (s *service) openCopier(emulate bool) error {
	if !s.cfg.copied() {
		return nil
	}
	if emulate {
		var err error
		if s.emulated, err = openEmulated(s.cfg, s.log); err != nil {
			return err
		}
	}
	client, err := newDataverse(s.cfg, s.log)
	if err != nil {
		return err
	}
	c := &copier{client: client, streams: make(map[string]bool)}
	// A publication goes into the connection's buffer: it does not block, and leaves when NATS is back.
	tell := func() { _ = s.conn.Publish(dueSubject(s.cfg.Deployment), nil) }
	config := dispatcherConfig(s.cfg, client, s.store, s.log)
	config.Tell, config.Meter, config.Tracer = tell, s.telemetry.meter(), s.telemetry.tracer()
	if c.dispatcher, err = dataverse.NewDispatcher(config); err != nil {
		return err
	}
	for _, subject := range []string{consumer.ChangedSubject(s.cfg.Deployment), dueSubject(s.cfg.Deployment)} {
		if _, err = s.conn.Subscribe(subject, func(m *nats.Msg) { c.dispatcher.Wake(spanOf(m)) }); err != nil {
			return fmt.Errorf("watch commits: %w", err)
		}
	}
	s.copier = c
	return nil
}

// spanOf is the span that a message comes from, none where it names none.
func spanOf(m *nats.Msg) trace.SpanContext {
	const header = "traceparent"
	named := propagation.MapCarrier{header: m.Header.Get(header)}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), named))
}

// dueSubject is where somebody says that runs of a deployment are due for the copy without a commit. Messages are empty.
func dueSubject(deployment string) string { return "runmetrics." + deployment + ".due" }

// newDataverse makes a client of the organization that the configuration names.
func newDataverse(cfg *Config, log *slog.Logger) (*dataverse.Client, error) {
	return dataverse.New(dataverse.Config{
		URL:          cfg.DataverseURL,
		TenantID:     cfg.DataverseTenantID,
		ClientID:     cfg.DataverseClientID,
		ClientSecret: cfg.DataverseClientSecret.Reveal,
		Authority:    cfg.DataverseAuthority,
		Log:          log,
		UserAgent:    "runmetrics/" + version(),
	})
}

// dispatcherConfig is what the configuration says of a dispatcher. It tells nobody of what it does not send.
func dispatcherConfig(cfg *Config, client *dataverse.Client, outbox sinks.Outbox, log *slog.Logger) dataverse.DispatcherConfig {
	return dataverse.DispatcherConfig{Client: client, Outbox: outbox, Table: cfg.DataverseTable,
		Interval: cfg.DataverseMinInterval, DailyBudget: cfg.DataverseDailyBudget, Log: log}
}

// own is what the reader of a stream tells whether it reads; nil without a copier.
func (c *copier) own(stream string) func(bool) {
	if c == nil {
		return nil
	}
	return func(reads bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !reads && !c.streams[stream] {
			return
		}
		if c.streams[stream] = reads; !reads {
			delete(c.streams, stream)
		}
		// Also where it was known: a new pin may mean that another owner has gone.
		if reads || len(c.streams) == 0 {
			c.dispatcher.Own(reads)
		}
	}
}

// backlog counts what the copy still has to get.
func (s *service) backlog(ctx context.Context) (query.Backlog, error) {
	standing, err := s.store.Standing(ctx, time.Now())
	b := query.Backlog{Waiting: standing.Waiting, Parked: standing.Parked}
	if !standing.Oldest.IsZero() {
		b.WaitingSince = &standing.Oldest
	}
	return b, err
}

// show adds the copy's state to the process's. A copy that stands still degrades the whole, one that only waits does not.
func (c *copier) show(state *query.State) {
	status := c.dispatcher.Status()
	copied := &query.CopyState{State: string(status.State), Requests: status.Requests, Throttles: status.Throttles,
		Delivered: status.Delivered, TargetsToday: status.TargetsToday, Parked: status.Parked}
	for _, row := range status.ParkedRows {
		copied.ParkedRows = append(copied.ParkedRows, query.ParkedRow{CampaignID: row.Key.CampaignID, RunID: row.Key.RunID,
			Phase: row.Key.Phase, RunKey: row.Key.UUID(), Version: row.Version, Reason: row.Reason})
	}
	if status.Reason != "" {
		reason := "Dataverse: " + status.Reason
		copied.Reasons = append(copied.Reasons, status.Reason)
		state.Reasons = append(state.Reasons, reason)
	}
	still := status.State == dataverse.StateDegraded || status.State == dataverse.StateBlocked
	if still && (state.State == query.StateActive || state.State == query.StateStandby) {
		state.State = query.StateDegraded
	}
	state.Dataverse = copied
}
