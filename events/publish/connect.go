package publish

import (
	"time"

	"github.com/nats-io/nats.go"
)

// InboxPrefix is where the user of deploy/nats-users.conf who may publish hears answers.
const InboxPrefix = "_INBOX_publish"

// Connect makes a connection that suits a publisher: it keeps trying where nobody answers, at the beginning and later;
// notices within 15 seconds that nothing comes back; and hears answers under InboxPrefix. So it returns at once, connected
// or not. Options of the caller come after these and win; nats.ErrorHandler and nats.DisconnectErrHandler are of use for
// logs.
func Connect(url string, options ...nats.Option) (*nats.Conn, error) {
	return nats.Connect(url, append([]nats.Option{
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.IgnoreAuthErrorAbort(), // a revoked user may be given back its rights
		nats.ReconnectWait(time.Second),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.FlusherTimeout(10 * time.Second),
		nats.CustomInboxPrefix(InboxPrefix),
	}, options...)...)
}
