package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// brokerMaxStore lies above any stream's own limit, which is what keeps the disk from filling. A limit that followed
	// the free space could fall below what a stream has reserved, and the server would not bring that stream back.
	brokerMaxStore = 1 << 40
	// brokerMaxMemory is for streams that others keep in memory; ours lie on disk.
	brokerMaxMemory = 64 << 20
	// brokerMaxPayload is the largest message of any stream of ours.
	brokerMaxPayload = 1 << 20
)

// broker is the NATS server that runs inside this process.
type broker struct {
	server *server.Server
	log    *brokerLog
}

// startBroker starts a server with its files in dir/nats, listening on cfg.NATSListen. When it returns, clients can
// connect and JetStream has recovered its streams. A taken port is an error that names NATS_LISTEN.
func startBroker(cfg *Config, every SyncEvery, log *slog.Logger) (*broker, error) {
	host, text, _ := net.SplitHostPort(cfg.NATSListen)
	port, _ := strconv.Atoi(text) // checked with the configuration
	if port == 0 {
		port = server.RANDOM_PORT
	}
	options := &server.Options{
		ServerName:             "runmetrics-" + cfg.Deployment,
		Host:                   host,
		Port:                   port,
		NoSigs:                 true,
		MaxPayload:             brokerMaxPayload,
		JetStream:              true,
		StoreDir:               filepath.Join(cfg.DataDir, "nats"),
		JetStreamMaxStore:      brokerMaxStore,
		JetStreamMaxMemory:     brokerMaxMemory,
		SyncAlways:             every == SyncAlways,
		SyncInterval:           time.Duration(every),
		DisableJetStreamBanner: true,
	}
	s, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("make embedded NATS server: %w", err)
	}
	b := &broker{server: s, log: &brokerLog{log: log.With("part", "nats")}}
	s.SetLoggerV2(b.log, log.Enabled(context.Background(), slog.LevelDebug), false, false)
	s.Start()
	if err := b.log.failure(); err != nil {
		b.Stop()
		var network *net.OpError
		if errors.As(err, &network) && network.Op == "listen" {
			return nil, fmt.Errorf("start embedded NATS server: %w; "+
				"set NATS_LISTEN to a free address, or NATS_URL to use the server there", network)
		}
		return nil, fmt.Errorf("start embedded NATS server: %w", err)
	}
	// The server goes on without JetStream where that does not start; for us that is no server.
	if !s.ReadyForConnections(10*time.Second) || !s.JetStreamEnabled() {
		b.Stop()
		return nil, errors.New("start embedded NATS server: it is not ready; see the messages of part nats above")
	}
	return b, nil
}

// URL is where clients on this machine connect.
func (b *broker) URL() string { return "nats://" + b.server.Addr().String() }

// Stop writes everything out and returns when the server is gone. Connections of this process should be closed before.
func (b *broker) Stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

// brokerLog hands the server's messages to slog and keeps the first fatal one, at which the server expects the process
// to end.
type brokerLog struct {
	log *slog.Logger

	mu    sync.Mutex
	fatal error
}

// Noticef is what the server says of its life; for us that is detail.
func (l *brokerLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }

// Debugf passes a message on.
func (l *brokerLog) Debugf(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }

// Tracef is never called: tracing is off.
func (l *brokerLog) Tracef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }

// Warnf passes a message on.
func (l *brokerLog) Warnf(format string, v ...any) { l.log.Warn(fmt.Sprintf(format, v...)) }

// Errorf passes a message on.
func (l *brokerLog) Errorf(format string, v ...any) { l.log.Error(fmt.Sprintf(format, v...)) }

// Fatalf keeps the first one, with the error it was called with where there is one: that tells a taken port from the
// rest.
func (l *brokerLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal != nil {
		return
	}
	l.fatal = fmt.Errorf(format, v...)
	for _, arg := range v {
		if err, ok := arg.(error); ok {
			l.fatal = err
		}
	}
}

func (l *brokerLog) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}
