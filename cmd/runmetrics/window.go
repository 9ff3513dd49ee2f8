package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/events/publish"
	"github.com/apexsalesai/runmetrics/query"
)

// serving is how a service is to run.
type serving struct {
	sync     SyncEvery // of the embedded broker, where NATS_SYNC does not say
	insecure bool      // other machines may reach listeners that nothing guards
	emulate  bool      // the copy goes to an emulator in this process

	keys *query.Keys        // set by check
	cert *query.Certificate // set by check, nil without TLS
}

// check completes the configuration of a service: who can reach it, and with which keys.
func (s *serving) check(cfg *Config, f *faults) {
	if cfg.APIKeysFile != "" {
		keys, err := readKeys(cfg.APIKeysFile)
		if err != nil {
			f.add("API_KEYS_FILE", err.Error())
		}
		s.keys = keys
	}
	if cfg.HTTPCert != "" && cfg.HTTPKey != "" {
		cert, err := query.LoadCertificate(cfg.HTTPCert, cfg.HTTPKey)
		if err != nil {
			f.add("HTTP_CERT", "and HTTP_KEY are of no use: "+err.Error())
		}
		s.cert = cert
	}
	if err := query.CheckListen(cfg.HTTPAddr, cfg.APIKeysFile != "", s.insecure); err != nil {
		f.add("HTTP_ADDR", err.Error())
	}
	if cfg.copied() && !s.emulate {
		needDataverse(cfg, f)
	}
	if cfg.NATSURL.IsSet() {
		return
	}
	if !s.insecure && !query.IsLoopback(cfg.NATSListen) {
		f.add("NATS_LISTEN", fmt.Sprintf("%q can be reached from other machines, and the embedded server has no users: "+
			"use a loopback address, set NATS_URL to a server of its own, or give --insecure if something else guards it", cfg.NATSListen))
	}
	if len(cfg.Streams) > 1 {
		f.add("STREAMS", "must be one stream with the embedded server; set NATS_URL to a server that maps subjects to partitions")
	}
}

// window makes the HTTP API. Its funcs end with the context.
func (s *service) window(ctx context.Context) (http.Handler, error) {
	if err := s.telemetry.show(s.measured()); err != nil {
		return nil, err
	}
	var backlog func(context.Context) (query.Backlog, error)
	if s.copier != nil {
		backlog = s.backlog
	}
	return query.New(query.Config{
		Reader:      s.store,
		Letters:     s.store.Letters,
		Publish:     s.publish,
		Committed:   func(wait context.Context, r query.Receipt) error { return s.committed(ctx, wait, r) },
		State:       func() query.State { return s.state(ctx) },
		Feed:        s.feed,
		Backlog:     backlog,
		Metrics:     s.telemetry.scrape,
		Meter:       s.telemetry.meter(),
		Tracer:      s.telemetry.tracer(),
		Keys:        s.keys,
		KeyRate:     s.cfg.APIRateLimit,
		Origins:     s.cfg.CORSOrigins,
		Loopback:    query.IsLoopback(s.cfg.HTTPAddr),
		IdleTimeout: s.cfg.RunIdleTimeout,
		Log:         s.log,
		Version:     version(),
	})
}

// measured is what /metrics shows of this service.
func (s *service) measured() measured {
	m := measured{
		deployment: s.cfg.Deployment,
		nats:       func() natsCounts { return natsCounts{s.conn.IsConnected(), int64(s.conn.Stats().Reconnects)} },
		streams: func() []consumer.Status {
			list := make([]consumer.Status, len(s.readers))
			for i, reader := range s.readers {
				list[i] = reader.Status()
			}
			return list
		},
		live:   s.feed.Counts,
		checks: s.checks.Last,
	}
	if s.copier != nil {
		m.copied = s.copier.dispatcher.Status
	}
	if s.keys != nil {
		m.uses = s.keys.Uses
	}
	return m
}

// ackTimeout is after how long without an acknowledgement a posted event is an error, which who posted it has to repeat.
const ackTimeout = 10 * time.Second

// publish sends all events before it waits for what the streams say. Where one cannot be sent, those behind it are not
// sent either.
func (s *service) publish(ctx context.Context, list []*events.Event) []query.Receipt {
	receipts := make([]query.Receipt, len(list))
	acks := make([]jetstream.PubAckFuture, len(list))
	var failed error
	for i, e := range list {
		if failed == nil {
			acks[i], failed = s.js.PublishMsgAsync(publish.Message(ctx, e, events.Encode(e)))
		}
		receipts[i].Err = failed
	}
	for i, ack := range acks {
		if receipts[i].Err == nil {
			receipts[i] = receiptOf(ctx, ack)
		}
		if err := receipts[i].Err; err != nil {
			receipts[i].Err = fmt.Errorf("publish event: %w", err)
		}
	}
	return receipts
}

func receiptOf(ctx context.Context, ack jetstream.PubAckFuture) query.Receipt {
	select {
	case stored := <-ack.Ok():
		return query.Receipt{Stream: stored.Stream, Sequence: stored.Sequence, Duplicate: stored.Duplicate}
	case err := <-ack.Err():
		return query.Receipt{Err: err}
	case <-ctx.Done():
		return query.Receipt{Err: ctx.Err()}
	}
}

// committed waits for the announcement of a commit, unless a reader of this process is past it already. It stops waiting
// when the service stops: 202 is as true, and the drain has ten seconds.
func (s *service) committed(running, wait context.Context, r query.Receipt) error {
	for _, reader := range s.readers {
		if status := reader.Status(); status.Stream == r.Stream && status.Reached >= r.Sequence {
			return nil
		}
	}
	wait, cancel := context.WithCancel(wait)
	defer cancel()
	defer context.AfterFunc(running, cancel)()
	return s.watch.Wait(wait, r.Stream, r.Sequence)
}

// severity orders states: the service is in the first of these that any of its parts is in.
var severity = []string{query.StateBlocked, query.StateDegraded, query.StateStarting, query.StateActive, query.StateStandby}

func (s *service) state(ctx context.Context) query.State {
	var state query.State
	if !s.conn.IsConnected() {
		state.State = query.StateDegraded
		state.Reasons = append(state.Reasons, "NATS is away")
	}
	if reasons := s.refusals.reasons(); len(reasons) > 0 {
		state.State = query.StateBlocked
		state.Reasons = append(state.Reasons, reasons...)
	}
	for _, reader := range s.readers {
		status := reader.Status()
		of := query.StreamState{Stream: status.Stream, State: string(status.State), Epoch: status.Position.Epoch,
			Position: status.Reached, LastSequence: status.LastSequence, Pending: status.LastSequence - min(status.LastSequence, status.Reached),
			DelayMs: status.Delay.Milliseconds(), Applied: status.Position.Applied, Duplicates: status.Position.Duplicates, DeadLetters: status.Position.DeadLetters,
			Gone: status.Position.Gone, OutageHours: status.OutageHours}
		for _, reason := range []string{status.Reason, status.Note} {
			if reason != "" {
				of.Reasons = append(of.Reasons, reason)
				state.Reasons = append(state.Reasons, reason)
			}
		}
		state.Streams = append(state.Streams, of)
		if state.State == "" || slices.Index(severity, of.State) < slices.Index(severity, state.State) {
			state.State = of.State
		}
	}
	if s.copier != nil {
		s.copier.show(&state)
	}
	if ctx.Err() != nil {
		state.State = query.StateStopping
	}
	return state
}

// apiURL is where the API answers.
func (s *service) apiURL() string { return apiScheme(s.cfg) + "://" + s.listener.Addr().String() }

func apiScheme(cfg *Config) string {
	if cfg.HTTPCert != "" {
		return "https"
	}
	return "http"
}

// natsURL is where agents publish, without passwords.
func (s *service) natsURL() string {
	if s.broker != nil {
		return s.broker.URL()
	}
	return hosts(s.cfg.NATSURL)
}

// readKeys reads the file of API keys.
func readKeys(path string) (*query.Keys, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, errors.New(fileProblem(err, "cannot be read"))
	}
	defer file.Close()
	keys, err := query.ParseKeys(file)
	if err != nil {
		return nil, errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return keys, nil
}
