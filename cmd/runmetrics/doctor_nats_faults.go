package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/nats-io/nats.go"
)

// noConnection says in few words why NATS cannot be reached, and what to do.
func (d *doctor) noConnection(err error) (finding, fix string) {
	at := hosts(d.cfg.natsURL())
	var name *net.DNSError
	var network net.Error
	switch {
	case !errors.As(err, new(*net.OpError)) && strings.Contains(err.Error(), "runmetrics needs"):
		return err.Error(), fmt.Sprintf("upgrade the NATS server to %d.%d or newer, all members of a cluster",
			minServerMajor, minServerMinor)
	case errors.Is(err, nats.ErrNoServers):
		return "nobody listens at " + at, "start the server there, or correct host and port in NATS_URL"
	case errors.As(err, &name):
		return "the name " + name.Name + " is not known here",
			fmt.Sprintf("correct the host in NATS_URL, or let this machine resolve it: `getent hosts %s`", name.Name)
	case d.userRefused(err):
		return "the server at " + at + " refuses the user: " + errors.Unwrap(err).Error(), d.userFix()
	case errors.Is(err, nats.ErrMaxConnectionsExceeded), errors.Is(err, nats.ErrMaxAccountConnectionsExceeded):
		return "the server at " + at + " takes no more connections",
			"end others, `nats server report connections`, or raise max_connections in nats.conf and reload it: " +
				"`nats-server --signal reload`"
	case errors.Is(err, nats.ErrNoInfoReceived):
		return "what answers at " + at + " is no NATS server", "correct the port in NATS_URL: clients of NATS " +
			"connect to 4222, as a rule; 8222 is its monitoring"
	}
	if finding, fix := d.natsUntrusted(err, at); finding != "" {
		return finding, fix
	}
	if errors.Is(err, nats.ErrTimeout) || errors.As(err, &network) && network.Timeout() {
		return at + " gives no answer", "open the way to it, firewall or network policy: `nc -vz " +
			strings.Replace(at, ":", " ", 1) + "` tries it"
	}
	return err.Error(), "start the server, or correct NATS_URL, the user in NATS_CREDS or NATS_NKEY, and the certificates"
}

func (d *doctor) userRefused(err error) bool {
	for _, refusal := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked,
		nats.ErrAccountAuthExpired} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// userFix names the variable that says who this program is.
func (d *doctor) userFix() string {
	switch {
	case d.cfg.NATSCreds != "":
		return "let NATS_CREDS name a credentials file of a user of that server that is still valid: `nats auth " +
			"user credential FILE`"
	case d.cfg.NATSNKey.IsSet():
		return "let NATS_NKEY be the seed of a user of that server, or put its public key under users in nats.conf"
	case strings.Contains(d.cfg.natsURL().Reveal(), "@"):
		return "correct user and password in NATS_URL, special characters as %XX, or in nats.conf"
	}
	return "name a user: NATS_URL=nats://user:password@host:4222, NATS_CREDS or NATS_NKEY"
}

// natsUntrusted is about TLS.
func (d *doctor) natsUntrusted(err error, at string) (finding, fix string) {
	var stranger x509.UnknownAuthorityError
	var otherName x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.Is(err, nats.ErrSecureConnRequired):
		return "the server at " + at + " wants TLS", "write tls:// in NATS_URL"
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "NATS_URL asks for TLS, and the server at " + at + " speaks none",
			"write a tls block into nats.conf and reload it, or nats:// in NATS_URL"
	case errors.As(err, &stranger):
		return "the certificate of " + at + " is of an authority that this machine does not know",
			"set NATS_CA to a file with the certificate of that authority"
	case errors.As(err, &otherName):
		return "the certificate of " + at + " is for " + certified(otherName.Certificate),
			"write one of these names as the host in NATS_URL, or give the server a certificate for that name"
	case errors.As(err, &invalid):
		return "the certificate of " + at + " does not hold: " + invalid.Error(),
			"renew it; if it should hold, look at this machine's clock with `date -u`"
	case strings.Contains(err.Error(), "certificate required"), strings.Contains(err.Error(), "bad certificate"):
		return "the server at " + at + " wants a certificate of this program that it knows: " + err.Error(),
			"set NATS_CERT and NATS_KEY to the files of one that its authority has issued"
	}
	return "", ""
}
