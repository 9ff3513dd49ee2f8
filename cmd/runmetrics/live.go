package main

import (
	"errors"
	"log/slog"

	"github.com/apexsalesai/runmetrics/consumer"
)

// tellOthers tells the processes that answer queries that a command changed the store in another way than by commits: what
// they know of their answers is no longer right. Where nobody is told, they find out within a quarter of an hour.
func tellOthers(cfg *Config, role string, log *slog.Logger) {
	conn, err := connectNATS(cfg, connection{URL: cfg.natsURL(), Role: role}, log)
	if err == nil {
		defer conn.Close()
		err = errors.Join(consumer.AnnounceOther(conn, cfg.Deployment), conn.FlushTimeout(flushTime))
	}
	if err != nil {
		log.Debug("nobody is told of what was changed", "error", err)
	}
}
