package consumer

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// Refusal is a right that NATS does not give to the user of a connection. It is sinks.ErrBlocked: a person must grant
// the right. NATS says so beside the request, which itself gets no answer and runs into its time limit.
type Refusal struct {
	Subscription bool // else to publish, which every request is
	Subject      string
}

var violation = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]+)"`)

// RefusalOf finds the refusal in what a connection's error handler is told.
func RefusalOf(err error) (*Refusal, bool) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return nil, false
	}
	found := violation.FindStringSubmatch(err.Error())
	if found == nil {
		return nil, false
	}
	return &Refusal{Subscription: strings.EqualFold(found[1], "subscription"), Subject: found[2]}, true
}

// Error names the subject and what to grant.
func (r *Refusal) Error() string {
	do := "publish"
	switch {
	case r.Subscription:
		do = "subscribe"
	case strings.HasPrefix(r.Subject, "$JS.API.CONSUMER.CREATE."):
		return "a consumer is missing or of an older version, and NATS does not let this user make it (publish to " + r.Subject +
			"): `runmetrics setup` makes it, as a user who may"
	}
	return fmt.Sprintf("NATS does not let this user %s to %s; grant it %s on %s", do, r.Subject, do, r.Grant())
}

// Unwrap makes it sinks.ErrBlocked, whose own words would be taken for the database's.
func (r *Refusal) Unwrap() error { return sinks.ErrBlocked }

// Grant is the subject to allow: the refused one, without the parts that are another at each request.
func (r *Refusal) Grant() string {
	tokens := strings.Split(r.Subject, ".")
	switch {
	case strings.HasPrefix(r.Subject, "_INBOX"):
		return tokens[0] + ".>"
	case tokens[0] == events.SubjectPrefix:
		return events.SubjectPrefix + ".*.*"
	}
	return r.Subject
}

// ofStream tells whether it is a right that the reader of the stream needs.
func (r *Refusal) ofStream(stream string) bool {
	tokens := strings.Split(r.Subject, ".")
	return !r.Subscription && tokens[0] == "$JS" && slices.Contains(tokens, stream)
}
