package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"
)

// databaseTarget is what a database's URL names, without its password.
type databaseTarget struct {
	variable             string // that holds the URL
	host, user, database string
	mode                 string
}

func targetOf(variable string, address Secret) databaseTarget {
	t := databaseTarget{variable: variable, host: "the host"}
	if u, err := url.Parse(address.Reveal()); err == nil {
		t.host, t.user, t.database, t.mode = u.Hostname(), u.User.Username(), strings.TrimPrefix(u.Path, "/"), modeOf(u)
		if port := u.Port(); port != "" {
			t.host = u.Host
		}
	}
	return t
}

// unreachable says in few words why a database cannot be reached, and what to do.
func unreachable(err error, variable string, address Secret) (finding, fix string) {
	t := targetOf(variable, address)
	var answer interface{ SQLState() string }
	if errors.As(err, &answer) {
		if finding, fix := t.refused(answer.SQLState()); finding != "" {
			return finding, fix
		}
		return variable + ": " + err.Error(), databaseFix(err)
	}
	if finding, fix := t.untrusted(err); finding != "" {
		return finding, fix
	}
	return t.away(err)
}

// refused is about a server that answered.
func (t databaseTarget) refused(code string) (finding, fix string) {
	switch code {
	case "28P01":
		return fmt.Sprintf("%s: the password of user %s is wrong, says %s", t.variable, t.user, t.host),
			fmt.Sprintf("write the right one into %s, special characters as %%XX, or set it: `ALTER ROLE %s "+
				"PASSWORD '…';`", t.variable, sqlName(t.user))
	case "28000":
		return fmt.Sprintf("%s: %s does not let user %s in: there is no such user, or not from here, or not in "+
				"this way", t.variable, t.host, t.user),
			fmt.Sprintf("correct the user in %s, or make it: `CREATE ROLE %s LOGIN PASSWORD '…';`; where it is "+
				"there, give it a line in pg_hba.conf",
				t.variable, sqlName(t.user))
	case "3D000":
		return fmt.Sprintf("%s: there is no database %s at %s", t.variable, t.database, t.host),
			fmt.Sprintf("correct its name in %s, or make it: `CREATE DATABASE %s;`; then runmetrics setup",
				t.variable, sqlName(t.database))
	case "53300":
		return fmt.Sprintf("%s: %s has no connection left", t.variable, t.host),
			fmt.Sprintf("end others, raise max_connections or the role's limit, `ALTER ROLE %s CONNECTION LIMIT "+
				"-1;`, or go through a pooler", sqlName(t.user))
	case "57P03":
		return fmt.Sprintf("%s: %s is starting or shutting down", t.variable, t.host),
			"run doctor again in a minute; the service waits and goes on by itself"
	}
	return "", ""
}

// untrusted is about TLS.
func (t databaseTarget) untrusted(err error) (finding, fix string) {
	var stranger x509.UnknownAuthorityError
	var otherName x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case strings.Contains(err.Error(), "server refused TLS connection"):
		return fmt.Sprintf("%s has %s, and %s speaks no TLS", t.variable, t.mode, t.host),
			"turn TLS on there, ssl = on in postgresql.conf; for a server on a network of its own set " +
				"sslmode=disable in " + t.variable
	case errors.As(err, &stranger):
		return fmt.Sprintf("%s: the certificate of %s is of an authority that this machine does not know",
				t.variable, t.host),
			"add sslrootcert=FILE to " + t.variable + ", a file with the certificate of that authority"
	case errors.As(err, &otherName):
		return fmt.Sprintf("%s: the certificate of %s is for %s", t.variable, t.host, certified(otherName.Certificate)),
			"write one of these names as the host in " + t.variable + ", or give the server a certificate for " +
				"that name; a deployment " +
				"knows its database by the host, too, and then needs `runmetrics setup --adopt`"
	case errors.As(err, &invalid):
		return fmt.Sprintf("%s: the certificate of %s does not hold: %v", t.variable, t.host, invalid),
			"renew it; if it should hold, look at this machine's clock with `date -u`"
	}
	return "", ""
}

// certified names whom a certificate is for.
func certified(c *x509.Certificate) string {
	names := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no name at all"
	}
	return strings.Join(names, ", ")
}

// away is about a server that did not answer.
func (t databaseTarget) away(err error) (finding, fix string) {
	var name *net.DNSError
	var network net.Error
	switch {
	case errors.As(err, &name):
		return fmt.Sprintf("%s: the name %s is not known here", t.variable, name.Name),
			fmt.Sprintf("correct the host in %s, or let this machine resolve it: `getent hosts %s`", t.variable, name.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("%s: nobody listens at %s", t.variable, t.host),
			"start the database there, or correct host and port in " + t.variable + "; events wait in NATS meanwhile"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return fmt.Sprintf("%s: %s gives no answer", t.variable, t.host),
			"open the way to it: firewall, security group, the provider's list of allowed addresses; `nc -vz " +
				strings.Replace(t.host, ":", " ", 1) + "` tries it"
	}
	return t.variable + ": " + err.Error(), databaseFix(err)
}
