package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// The oldest NATS server that will do: the first that can reset a consumer.
const (
	minServerMajor = 2
	minServerMinor = 14
)

// A connection over which nothing comes back is given up after two or three pings: within 15 seconds.
const (
	pingTime = 5 * time.Second
	maxPings = 2
)

// connection says how to reach NATS.
type connection struct {
	URL        Secret
	Role       string // shown to the operators of NATS
	Embedded   *broker
	Persistent bool   // keep trying where nobody answers, instead of an error
	Inbox      string // where answers come to; default: of the deployment
	TooOld     func(error)
	Refusals   *refusals // nil where nobody asks for them
}

// connectNATS connects with the user and the certificates of cfg. Unless Persistent, it answers within seconds, and a
// server that is too old is an error; a Persistent one that finds such a server, now or later, calls TooOld.
// Credentials go to an outside server only.
func connectNATS(cfg *Config, c connection, log *slog.Logger) (*nats.Conn, error) {
	options := append(steadyOptions(cfg, c, log), nats.RetryOnFailedConnect(c.Persistent))
	if c.Embedded != nil {
		options = append(options, nats.InProcessServer(c.Embedded.server))
		return nats.Connect("", options...)
	}
	user, err := userOptions(cfg)
	if err != nil {
		return nil, err
	}
	conn, err := nats.Connect(c.URL.Reveal(), append(options, user...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", hosts(c.URL), withoutURL(err))
	}
	if conn.IsConnected() {
		if err := checkServer(conn); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

// embeddedIsDown tells whether a connection failed because the server is part of a service that is not up.
func embeddedIsDown(cfg *Config, err error) bool {
	return !cfg.NATSURL.IsSet() && errors.Is(err, nats.ErrNoServers)
}

// steadyOptions are those that keep a connection alive and its troubles visible.
func steadyOptions(cfg *Config, c connection, log *slog.Logger) []nats.Option {
	level := slog.LevelDebug
	if c.Persistent && c.Embedded == nil {
		level = slog.LevelInfo
	}
	connected := func(conn *nats.Conn) {
		log.Log(context.Background(), level, "connected to NATS", "server", conn.ConnectedAddr(), "version", conn.ConnectedServerVersion())
		if err := checkServer(conn); err != nil && c.TooOld != nil {
			c.TooOld(err)
		}
	}
	return []nats.Option{
		nats.Name("runmetrics " + c.Role + " " + cfg.Deployment),
		nats.CustomInboxPrefix("_INBOX_" + cmp.Or(c.Inbox, cfg.Deployment)),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(time.Second),
		nats.PingInterval(pingTime),
		nats.MaxPingsOutstanding(maxPings),
		nats.IgnoreAuthErrorAbort(), // a revoked user may be given back its rights
		nats.ConnectHandler(connected),
		nats.ReconnectHandler(connected),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			c.Refusals.forget()
			if err != nil {
				log.Warn("lost connection to NATS", "error", err)
			}
		}),
		// A refused right shows only here; the call that needed it runs into its time limit.
		nats.ErrorHandler(func(conn *nats.Conn, sub *nats.Subscription, err error) {
			c.Refusals.note(conn, err)
			if sub != nil {
				log.Error("NATS reports an error", "subject", sub.Subject, "error", err)
				return
			}
			log.Error("NATS reports an error", "error", err)
		}),
		nats.ClosedHandler(func(*nats.Conn) { log.Debug("closed connection to NATS") }),
	}
}

// userOptions says who we are.
func userOptions(cfg *Config) ([]nats.Option, error) {
	var options []nats.Option
	if cfg.NATSCreds != "" {
		options = append(options, nats.UserCredentials(cfg.NATSCreds))
	}
	if cfg.NATSNKey.IsSet() {
		pair, err := nkeys.FromSeed([]byte(cfg.NATSNKey.Reveal()))
		if err != nil {
			return nil, errors.New("NATS_NKEY is not the seed of an nkey")
		}
		public, err := pair.PublicKey()
		if err != nil {
			return nil, errors.New("NATS_NKEY is not the seed of an nkey")
		}
		options = append(options, nats.Nkey(public, pair.Sign))
	}
	if cfg.NATSCA != "" {
		options = append(options, nats.RootCAs(cfg.NATSCA))
	}
	if cfg.NATSCert != "" {
		options = append(options, nats.ClientCert(cfg.NATSCert, cfg.NATSKey))
	}
	return options, nil
}

// checkServer refuses a server that is too old.
func checkServer(conn *nats.Conn) error {
	if have := conn.ConnectedServerVersion(); !recentEnough(have) {
		return fmt.Errorf("NATS server at %s has version %s, runmetrics needs %d.%d or newer; upgrade the server",
			conn.ConnectedAddr(), have, minServerMajor, minServerMinor)
	}
	return nil
}

func recentEnough(version string) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, errMajor := strconv.Atoi(parts[0])
	minor, errMinor := strconv.Atoi(parts[1])
	if errMajor != nil || errMinor != nil {
		return false
	}
	return major > minServerMajor || major == minServerMajor && minor >= minServerMinor
}

// hosts names the servers of a list of URLs without users and passwords.
func hosts(list Secret) string {
	var names []string
	for server := range strings.SplitSeq(list.Reveal(), ",") {
		if u, err := url.Parse(strings.TrimSpace(server)); err == nil {
			names = append(names, u.Host)
		}
	}
	return strings.Join(names, ", ")
}

// withoutURL cuts the URL, and with it a password, out of a parser's error.
func withoutURL(err error) error {
	var bad *url.Error
	if errors.As(err, &bad) {
		return errors.New("the URL is not valid")
	}
	return err
}
