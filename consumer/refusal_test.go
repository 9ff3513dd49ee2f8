package consumer_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/sinks"
)

// refusedBy is what a connection's error handler is told when a server answers so.
func refusedBy(format string, v ...any) error {
	return fmt.Errorf("%w: %s", nats.ErrPermissionViolation, fmt.Sprintf(format, v...))
}

func TestARefusalNamesWhatToGrant(t *testing.T) {
	t.Parallel()
	for subject, grant := range map[string]string{
		"$JS.API.CONSUMER.RESET.RUN_EVENTS.runmetrics-main": "$JS.API.CONSUMER.RESET.RUN_EVENTS.runmetrics-main",
		"_INBOX_main.dsu4vXJ4nNtLhNnXLhb1b2.*":              "_INBOX_main.>",
		"runs.Campaign.run-1":                               "runs.*.*",
		"runmetrics.main.changed":                           "runmetrics.main.changed",
	} {
		for action, subscription := range map[string]bool{"Publish": false, "Subscription": true} {
			err := refusedBy("Permissions Violation for %s to %q", action, subject)
			r, ok := consumer.RefusalOf(err)
			if !ok || r.Subject != subject || r.Subscription != subscription || r.Grant() != grant || !errors.Is(r, sinks.ErrBlocked) {
				t.Errorf("%v: %v %+v, grant %s", err, ok, r, r.Grant())
			}
		}
	}
	for _, err := range []error{nil, nats.ErrSlowConsumer, refusedBy("Permissions Violation for Publish with Reply of %q", "x"),
		errors.New(`Permissions Violation for Publish to "x"`)} {
		if r, ok := consumer.RefusalOf(err); ok {
			t.Errorf("%v is %v", err, r)
		}
	}
}

func TestAReaderTakesOnlyWhatItsStreamNeeds(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	r := b.startReader(t, openSQLite(t))
	for subject, its := range map[string]bool{"$JS.API.CONSUMER.CREATE.OTHER.runmetrics-main": false, "runs.c.r": false,
		"$JS.API.STREAM.INFO." + streamName: true} {
		if got := r.Refused(refusedBy("Permissions Violation for Publish to %q", subject)); got != its {
			t.Errorf("%s: %v, want %v", subject, got, its)
		}
	}
	if r.Refused(nats.ErrSlowConsumer) {
		t.Error("takes any error for a refusal")
	}
}
