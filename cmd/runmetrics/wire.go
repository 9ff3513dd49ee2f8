package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/query"
	"github.com/apexsalesai/runmetrics/sinks"
)

// service is everything that run and dev hold together:
//
//	agents ──▶ broker (embedded) or NATS_URL ◀───────────── publish ──────────────┐
//	              │ conn                                                          │
//	              ├──▶ reader, one for each of STREAMS ──commit──▶ store          │
//	              │        │                                        │             │
//	              │        ├─ own ──▶ copier ◀──── claim, settle ────┤             │
//	              │        │            ▲  └──▶ Dataverse           │             │
//	              │        │            │ wake                      │ read        │
//	              │        └─ announce ─▶ changed ─▶ watch ─▶ feed ◀┤             │
//	              │                                   │        │    ▼             │
//	              └── status ──▶ state                └─ committed ─▶ window ─────┘
//	                               │                           └──▶ ▲ │
//	                               └──────── /readyz ───────────────┘ └──▶ clients
//
// It is opened from the ground up, lock, telemetry, listener, broker, connection, store, readers, and closed the other way round.
// What is down when it starts is waited for, except what only a person can mend.
type service struct {
	cfg *Config
	log *slog.Logger

	lock      *dirLock // nil where nothing is embedded
	telemetry *telemetry
	listener  net.Listener
	broker    *broker // nil with NATS_URL
	conn      *nats.Conn
	js        jetstream.JetStream
	store     sinks.Store
	watch     *consumer.Watch
	checks    *consumer.Checks // what commands found that compared what is stored
	feed      *query.Feed      // what watch hears, for live clients and for answers that need no store
	readers   []*consumer.Reader
	shares    *consumer.Shares   // nil with one stream: there is nothing to share
	copier    *copier            // nil without a copy in Dataverse
	emulated  *emulatedDataverse // nil unless the copy goes to an emulator in this process
	keys      *query.Keys
	cert      *query.Certificate // nil without TLS

	refused  chan error // a server that will not do, found while running
	refusals refusals   // rights that NATS does not give us
}

// openService opens everything. After an error nothing is left open.
func openService(ctx context.Context, cfg *Config, how serving, log *slog.Logger) (_ *service, err error) {
	s := &service{cfg: cfg, log: log, keys: how.keys, cert: how.cert, refused: make(chan error, 1)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	steps := []func(context.Context) error{
		s.takeDir,
		s.openTelemetry,
		s.listen,
		func(context.Context) error { return s.openNATS(how.sync) },
		s.openStore,
		s.prepareEmbedded,
		func(context.Context) error { return s.openCopier(how.emulate) },
		s.openReaders,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *service) takeDir(context.Context) error {
	if s.cfg.NATSURL.IsSet() && s.cfg.DatabaseURL.IsSet() {
		return nil
	}
	var err error
	s.lock, err = lockDir(s.cfg.DataDir, "DATA_DIR")
	return err
}

func (s *service) listen(ctx context.Context) error {
	var err error
	if s.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.HTTPAddr); err != nil {
		return fmt.Errorf("open the API: %w; set HTTP_ADDR to a free address", err)
	}
	if s.cert != nil {
		s.listener = s.cert.Listen(s.listener)
	}
	s.warnOfPlainHTTP()
	return nil
}

func (s *service) openNATS(every SyncEvery) error {
	s.refusals.optional = consumer.CheckedSubject(s.cfg.Deployment)
	c := connection{URL: s.cfg.NATSURL, Role: "service", Persistent: true, Refusals: &s.refusals, TooOld: func(err error) {
		select {
		case s.refused <- err:
		default: // one is enough
		}
	}}
	var err error
	if !s.cfg.NATSURL.IsSet() {
		if s.broker, err = startBroker(s.cfg, s.cfg.sync(every), s.log); err != nil {
			return err
		}
		c.Embedded = s.broker
	}
	if s.conn, err = connectNATS(s.cfg, c, s.log); err != nil {
		return err
	}
	if s.js, err = jetstream.New(s.conn, jetstream.WithPublishAsyncTimeout(ackTimeout)); err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	return nil
}

func (s *service) openStore(ctx context.Context) error {
	var err error
	s.store, err = openStore(ctx, s.cfg, s.log)
	return err
}

// prepareEmbedded makes the stream of the embedded broker. Where the store is embedded too, the two cannot belong to
// others: a consumer that carries another fingerprint knew a database that was moved or removed.
func (s *service) prepareEmbedded(ctx context.Context) error {
	if s.broker == nil {
		return nil
	}
	for _, name := range s.cfg.Streams {
		plan, err := planStream(ctx, s.js, name, subjectsOf(name, s.cfg.Streams), 0, defaultMaxBytes(s.cfg.DataDir))
		if err != nil {
			return err
		}
		if plan.needed() {
			if err := plan.apply(ctx); err != nil {
				return fmt.Errorf("prepare stream %s: %w", name, err)
			}
		}
		if s.cfg.DatabaseURL.IsSet() {
			continue
		}
		database, err := s.store.Identity(ctx)
		if err != nil {
			return err
		}
		if _, err := consumer.EnsureConsumers(ctx, s.js, name, s.cfg.Deployment, database, consumer.DefaultPinnedTTL, true); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) openReaders(context.Context) error {
	var err error
	if s.feed, err = query.NewFeed(query.FeedConfig{Changed: s.store.Changed, Log: s.log}); err != nil {
		return err
	}
	follower := consumer.Follower{Changed: s.feed.Changed, Lost: s.feed.Lost, Back: s.feed.Back, Missed: s.feed.Missed}
	if s.watch, err = consumer.Follow(s.conn, s.cfg.Deployment, follower); err != nil {
		return err
	}
	if s.checks, err = consumer.FollowChecks(s.conn, s.cfg.Deployment); err != nil {
		return err
	}
	for _, stream := range s.cfg.Streams {
		r, err := consumer.New(consumer.Config{Conn: s.conn, JetStream: s.js, Stream: stream,
			Deployment: s.cfg.Deployment, Ledger: s.store, Sink: sinkName(s.cfg), Own: s.copier.own(stream),
			Meter: s.telemetry.meter(), Tracer: s.telemetry.tracer(), Log: s.log})
		if err != nil {
			return err
		}
		s.readers = append(s.readers, r)
	}
	s.refusals.tell(s.readers)
	if len(s.readers) > 1 {
		s.shares, err = consumer.NewShares(s.readers)
	}
	return err
}

// sinkName is what metrics and spans call the store.
func sinkName(cfg *Config) string {
	if cfg.DatabaseURL.IsSet() {
		return "postgres"
	}
	return "sqlite"
}

// requestTime is how long requests under way may keep the readers from draining, which takes up to eight seconds more.
const requestTime = 2 * time.Second

// run serves until the context ends or something fails for good; more runs beside it. HTTP ends first, so that requests
// under way still get their commits; then the readers commit what they have folded. All of it takes ten seconds at most.
func (s *service) run(ctx context.Context, more ...func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	handler, err := s.window(ctx)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, s.feed.Close)
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(requestTime, stopReading) })
	group.Go(func() error {
		defer stopReading()
		return query.Serve(ctx, s.listener, handler, s.log)
	})
	s.followFiles(ctx, group)
	for _, r := range s.readers {
		group.Go(func() error { return r.Run(reading) })
	}
	if s.shares != nil {
		group.Go(func() error { return s.shares.Run(reading) })
	}
	if s.copier != nil {
		// What the last commits mark waits for the next start.
		group.Go(func() error { return s.copier.dispatcher.Run(ctx) })
	}
	if s.emulated != nil {
		group.Go(func() error { return s.emulated.serve(reading) })
	}
	group.Go(func() error {
		select {
		case err := <-s.refused:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	for _, f := range more {
		group.Go(func() error { return f(ctx) })
	}
	s.log.Info("running", "api", s.apiURL(), "nats", s.natsURL(), "streams", s.cfg.Streams, "deployment", s.cfg.Deployment)
	return group.Wait()
}

func (s *service) warnOfPlainHTTP() {
	if s.cert == nil && s.keys != nil && !query.IsLoopback(s.cfg.HTTPAddr) {
		s.log.Warn("keys come over plain HTTP; set HTTP_CERT and HTTP_KEY, unless a proxy in front of this speaks TLS")
	}
}

// followFiles takes in what changes in files while the service runs.
func (s *service) followFiles(ctx context.Context, group *errgroup.Group) {
	if s.keys != nil {
		group.Go(func() error { s.keys.Follow(ctx, s.cfg.APIKeysFile, s.log); return nil })
	}
	if s.cert != nil {
		group.Go(func() error { s.cert.Follow(ctx, s.log); return nil })
	}
}

// flushTime is what closing waits for the broker to take the last announcements, and for a collector to take the last
// telemetry.
const flushTime = time.Second

// close closes what is open, in reverse order, and logs what fails: there is nobody left to act on it. Telemetry is the
// last, to tell of the rest.
func (s *service) close() {
	var errs []error
	if s.feed != nil {
		s.feed.Close()
	}
	if s.watch != nil && s.conn.IsConnected() {
		errs = append(errs, s.watch.Close())
	}
	if s.conn != nil {
		_ = s.conn.FlushTimeout(flushTime) // the last announcements; without a connection they are lost, which is harmless
		s.conn.Close()
	}
	if s.copier != nil {
		s.copier.client.Close()
	}
	if s.emulated != nil {
		errs = append(errs, s.emulated.close())
	}
	if s.broker != nil {
		s.broker.Stop()
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	if s.listener != nil {
		if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Release())
	}
	if err := errors.Join(errs...); err != nil {
		s.log.Warn("closing", "error", err)
	}
	if s.telemetry != nil {
		s.telemetry.close()
	}
}
