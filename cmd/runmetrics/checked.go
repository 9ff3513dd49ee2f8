package main

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/apexsalesai/runmetrics/consumer"
	"github.com/apexsalesai/runmetrics/consumer/replay"
)

// tellChecked tells the services of the deployment what a check that is over has left, for their /metrics. conn is nil where
// NATS could not be reached: the check is as good where nobody hears of it.
func tellChecked(conn *nats.Conn, cfg *Config, log *slog.Logger, c consumer.Checked) {
	const untold = "no service is told what this check found"
	if conn == nil {
		log.Info(untold+": NATS cannot be reached", "command", c.Command)
		return
	}
	c.At = time.Now().UTC()
	if err := consumer.AnnounceChecked(conn, cfg.Deployment, c); err != nil {
		log.Info(untold, "command", c.Command, "error", err)
	}
}

// whole tells whether all runs are compared.
func (r *comparing) whole() bool {
	if r.filter() != (replay.Filter{}) || r.ranged() {
		return false
	}
	left := func(stream string) bool { return !slices.Contains(r.Streams, stream) }
	return r.name == "rebuild" || !slices.ContainsFunc(r.cfg.Streams, left)
}

// whole tells whether all runs and rows are compared.
func (p *place) whole() bool { return p.Campaign == "" && p.Since.IsZero() && p.Until.IsZero() }

// measureChecks shows what checks have found, of each command that was heard of.
func measureChecks(meter metric.Meter, checks func() []consumer.Checked) error {
	drift, err := meter.Int64ObservableGauge("runmetrics.drift.runs",
		metric.WithDescription("Runs that differed and were left so when all were last checked by this command, "+
			"or when some of them were since; absent where no process has told."))
	if err != nil {
		return err
	}
	checked, err := meter.Float64ObservableGauge("runmetrics.checked.time", metric.WithUnit("s"),
		metric.WithDescription("When all runs were last checked by this command, in Unix time; absent before that."))
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, c := range checks() {
			command := metric.WithAttributes(attribute.String("command", c.Command))
			o.ObserveInt64(drift, c.Left, command)
			if !c.At.IsZero() {
				o.ObserveFloat64(checked, float64(c.At.UnixMilli())/1e3, command)
			}
		}
		return nil
	}, drift, checked)
	return err
}
