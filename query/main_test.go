package query_test

import (
	"context"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/query"
	"github.com/apexsalesai/runmetrics/sinks/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	for _, missing := range []string{"Reader", "Letters", "Publish", "Committed", "State"} {
		c := query.Config{
			Reader:    (*sqlite.Store)(nil),
			Letters:   (*sqlite.Store)(nil).Letters,
			Publish:   func(context.Context, []*events.Event) []query.Receipt { return nil },
			Committed: func(context.Context, query.Receipt) error { return nil },
			State:     func() query.State { return query.State{} },
		}
		switch missing {
		case "Reader":
			c.Reader = nil
		case "Letters":
			c.Letters = nil
		case "Publish":
			c.Publish = nil
		case "Committed":
			c.Committed = nil
		case "State":
			c.State = nil
		}
		if _, err := query.New(c); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}
