package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/apexsalesai/runmetrics/sinks"
)

const (
	// answerTime is how long a server may take to tell of a stream and its consumer. It says nothing at all to who may not ask.
	answerTime = 5 * time.Second
	// dialTime is how long each of several servers may take to accept a connection.
	dialTime = 2 * time.Second
	// accountTime is how long doctor waits for the limits of the account, which many users may not ask for.
	accountTime = time.Second
	// largestEvent is how many bytes an event may have, with its headers.
	largestEvent = 64<<10 + 4<<10
)

// examineNATS looks at the server, the streams and this deployment's consumers.
func (d *doctor) examineNATS(ctx context.Context) {
	conn, err := connectNATS(d.cfg, connection{URL: d.cfg.natsURL(), Role: "doctor", Refusals: &d.refusals}, d.log)
	if embeddedIsDown(d.cfg, err) {
		d.warn(areaNATS, "server", err.Error(),
			"runmetrics run has the server in it, listening on NATS_LISTEN: start it, or set NATS_URL to another server")
		return
	}
	if err != nil {
		finding, fix := d.noConnection(err)
		d.fail(areaNATS, "server", finding, fix)
		return
	}
	defer conn.Close()
	d.ok(areaNATS, "server", conn.ConnectedAddr()+" answers, version "+conn.ConnectedServerVersion())
	d.examineMembers(ctx)
	d.examineServerSettings(conn)
	js, err := jetstream.New(conn)
	if err != nil {
		d.fail(areaNATS, "server", err.Error(), "")
		return
	}
	if d.examineAccount(ctx, js) && d.examineStreams(ctx, js) {
		d.examineSpread(ctx, conn)
	}
}

// examineMembers dials each of several servers: a connection to one of them hides that the others are away.
func (d *doctor) examineMembers(ctx context.Context) {
	servers := strings.Split(d.cfg.natsURL().Reveal(), ",")
	if len(servers) < 2 {
		return
	}
	away := 0
	for _, server := range servers {
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil {
			continue // the configuration was checked
		}
		address := u.Host
		if u.Port() == "" {
			address = net.JoinHostPort(u.Hostname(), "4222")
		}
		conn, err := (&net.Dialer{Timeout: dialTime}).DialContext(ctx, "tcp", address)
		if err != nil {
			away++
			d.warn(areaNATS, "servers", address+" of NATS_URL does not answer: "+err.Error(),
				"start it, or take it out of NATS_URL")
			continue
		}
		conn.Close()
	}
	if away == 0 {
		d.ok(areaNATS, "servers", fmt.Sprintf("all %d of NATS_URL answer", len(servers)))
	}
}

// examineServerSettings looks at what a server says when it is connected to.
func (d *doctor) examineServerSettings(conn *nats.Conn) {
	if largest := conn.MaxPayload(); largest < largestEvent {
		d.fail(areaNATS, "server", fmt.Sprintf("it takes messages of up to %d bytes; an event may have 65536 and "+
			"headers", largest),
			"set max_payload: 1MB in nats.conf and reload it: `nats-server --signal reload`")
	}
}

// examineAccount asks for the limits of the account, which not every user may, and tells whether there is JetStream at all.
func (d *doctor) examineAccount(ctx context.Context, js jetstream.JetStream) bool {
	limited, cancel := context.WithTimeout(ctx, accountTime)
	defer cancel()
	info, err := js.AccountInfo(limited)
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		d.noJetStream()
		return false
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		d.fail(areaNATS, "JetStream", "it is not enabled for this user's account",
			"write `jetstream: enabled` into the account in nats.conf and reload it: `nats-server --signal reload`")
		return false
	case err != nil:
		d.ok(areaNATS, "account", "its limits are not shown to this user, who may not publish to $JS.API.INFO")
		d.refusals.explain(err) // this one was explained
		return true
	}
	used, most := max(info.Store, info.ReservedStore), info.Limits.MaxStore
	finding := fmt.Sprintf("%d streams, %s stored", info.Streams, bytesText(int64(info.Store)))
	switch {
	case most > 0 && float64(info.Store) > mostUsed*float64(most):
		d.warn(areaNATS, "account", fmt.Sprintf("%s of the %s that it may: when they are used up, publishers are refused",
			finding, bytesText(most)), "raise max_file of the account in nats.conf and reload it, `nats-server "+
			"--signal reload`, or remove "+
			"streams that nobody needs: `nats stream report`")
	case most > 0:
		d.ok(areaNATS, "account", fmt.Sprintf("%s, %s reserved of %s", finding, bytesText(int64(used)), bytesText(most)))
	default:
		d.ok(areaNATS, "account", finding+", no limit but the server's own")
	}
	return true
}

func (d *doctor) noJetStream() {
	d.fail(areaNATS, "JetStream", "it is not enabled on the server",
		"write `jetstream { store_dir: \"/data\" }` into nats.conf, with a directory on a disk that lasts, and "+
			"restart the server")
}

// unanswered notes a request to NATS that failed: for want of a right, which says what to do, or otherwise.
func (d *doctor) unanswered(subject string, err error, otherwise string) {
	finding := err.Error()
	if err = d.refusals.explain(err); errors.Is(err, sinks.ErrBlocked) {
		finding, otherwise, _ = strings.Cut(err.Error(), "; ") // the refusal names the right to grant
	}
	d.fail(areaNATS, subject, finding, otherwise)
}
