package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/sinktest"
)

// cutShort is a connection over which only so many more bytes are sent, and then nothing happens any more: its client
// was frozen, or the way to the server is gone and nobody says so.
type cutShort struct {
	net.Conn
	left    *atomic.Int64 // negative: any number
	stalled chan struct{} // closed when it ran out
	thaw    chan struct{}
}

func (c cutShort) Write(p []byte) (int, error) {
	left := c.left.Load()
	if left < 0 {
		return c.Conn.Write(p)
	}
	if int64(len(p)) <= left {
		c.left.Add(-int64(len(p)))
		return c.Conn.Write(p)
	}
	n, err := c.Conn.Write(p[:left])
	close(c.stalled)
	<-c.thaw
	if err == nil {
		_, err = c.Conn.Write(p[left:])
	}
	return n, err
}

// TestACommitThatIsNeverSentInFullHoldsNobodyUp: the server has got enough of it to lock the position.
func TestACommitThatIsNeverSentInFullHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	config, err := parseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	short := cutShort{left: new(atomic.Int64), stalled: make(chan struct{}), thaw: make(chan struct{})}
	short.left.Store(-1)
	dial := config.ConnConfig.DialFunc
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return cutShort{conn, short.left, short.stalled, short.thaw}, err
	}
	store, err := open(t.Context(), Config{URL: url}, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	frozen, rival := sinktest.NewWriter(t, store, "RUN_EVENTS"), sinktest.NewWriter(t, openStore(t, url), "RUN_EVENTS")
	if err := frozen.Write(t.Context(), execution("r", "1")); err != nil { // which prepares the statements
		t.Fatal(err)
	}
	var list []events.Event
	for i := range 3_000 {
		list = append(list, execution(fmt.Sprint("r", i%300), fmt.Sprint(i)))
	}
	batch := frozen.Fold(list...)
	short.left.Store(100_000)
	outcome := make(chan error, 1)
	go func() { outcome <- frozen.Commit(context.WithoutCancel(t.Context()), batch) }()
	<-short.stalled
	halfSent(t, plainSQL(t, url))

	if err := rival.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := rival.Write(ctx, list[:100]...); err != nil {
		t.Errorf("the rival's commit: %v", err)
	}
	close(short.thaw)
	if err := <-outcome; !errors.Is(err, sinks.ErrUnavailable) {
		t.Errorf("the commit that was cut short: %v", err)
	}
}

// halfSent waits until the server has done what it has got of a commit.
func halfSent(t *testing.T, db *sql.DB) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		var n int
		err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity "+
			"WHERE datname = current_database() AND state = 'active' AND wait_event = 'ClientRead'").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
	}
	t.Fatal("no commit is sent by halves")
}
