package dataverse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apexsalesai/runmetrics/sinks"
)

// readTable is the table's definition as it was at a time.
type readTable struct {
	*Table
	at time.Time
}

// older tells whether the definition was read longer ago than that.
func (t *readTable) older(than time.Duration) bool { return time.Since(t.at) >= than }

// read reads the table's definition, through the gate. It is ErrBlocked if rows cannot be written to it.
func (d *Dispatcher) read(work, tenure context.Context) error {
	ticket, err := d.gate.enter(tenure)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(work, requestTime)
	defer cancel()
	table, err := d.Client.Table(ctx, d.Table)
	if err == nil {
		err = table.Usable()
	} else if errors.Is(err, sinks.ErrRefused) { // no other row mends that
		err = blocked{errors.New(err.Error())}
	}
	d.gate.leave(ticket, 0, err)
	d.status.answered(ctx, 0, err)
	if err != nil {
		return fmt.Errorf("read table %s: %w", d.Table, err)
	}
	d.table.Store(&readTable{table, ticket.began})
	return nil
}

// Usable is ErrBlocked where rows cannot be written to the table, and says what to do.
func (t *Table) Usable() error {
	for _, f := range t.Check() {
		if f.Fatal {
			return blocked{fmt.Errorf("table %s: column %s %s; %s", t.LogicalName, f.Column, f.Problem, f.Fix)}
		}
	}
	return nil
}
