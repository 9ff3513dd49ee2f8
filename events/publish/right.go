package publish

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/events"
)

// rights are what the user of the connection turned out to lack. NATS says so beside the message, which gets no answer,
// and only the connection's last error keeps it.
type rights struct {
	seen error // the last violation that was looked at
	deaf error // answers may not be heard; NATS says so once for each connection
}

// violation is what NATS said of a right since it was last asked for, or empty. Of several subjects that are refused at
// once it names one; the others are found when they are sent again.
func (r *rights) violation(conn *nats.Conn) string {
	err := conn.LastError()
	if !errors.Is(err, nats.ErrPermissionViolation) || err == r.seen {
		return ""
	}
	r.seen = err
	return err.Error()
}

// look finds out whether answers can be heard, and returns a violation that is about something else.
func (r *rights) look(conn *nats.Conn, inbox string) string {
	said := r.violation(conn)
	if !strings.Contains(said, strconv.Quote(inbox)) {
		return said
	}
	r.deaf = fmt.Errorf("%w: this user may not subscribe to %s, where the answers of the stream come; with the rights of "+
		"deploy/nats-users.conf use publish.Connect, or nats.CustomInboxPrefix(publish.InboxPrefix)", nats.ErrPermissionViolation, inbox)
	return ""
}

// lacking tells what a message lacks, given what look found; nil where it lacks nothing.
func (r *rights) lacking(subject, violation string) error {
	switch {
	case r.deaf != nil:
		return r.deaf
	case violation == "" || !strings.Contains(violation, "Publish to "+strconv.Quote(subject)):
		return nil
	}
	grant := subject
	if strings.HasPrefix(grant, events.SubjectPrefix+".") {
		grant = events.SubjectPrefix + ".*.*"
	}
	return fmt.Errorf("%w: NATS does not let this user publish to %s; grant it publish on %s", nats.ErrPermissionViolation, subject, grant)
}
