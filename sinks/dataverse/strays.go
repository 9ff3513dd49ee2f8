package dataverse

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks"
)

// Stray is a row that is not the row of any run.
type Stray struct {
	ID  uuid.UUID
	Key events.Key  // that it names, untrusted
	Run *sinks.Copy // with this key, whose row has another id; nil: the store has no such run
}

// StrayPage is what a page of the table holds.
type StrayPage struct {
	Rows   int
	Strays []Stray
	Next   string // link to the next page, empty on the last
}

// Strays reads a page of the table's rows and finds out which of them are strays. It begins without a link, and goes on
// with the last page's. The filter is on the columns of the rows; times are compared by whole seconds, as they are kept.
func (r *Reconciler) Strays(ctx context.Context, f sinks.CopyFilter, nextLink string) (StrayPage, error) {
	rows, next, err := r.page(ctx, Query{Select: r.table.keyColumns(), Filter: rowFilter(f), OrderBy: r.table.PrimaryID}, nextLink)
	if err != nil {
		return StrayPage{}, err
	}
	page := StrayPage{Next: next}
	all := make([]Stray, 0, len(rows))
	ids := make([]uuid.UUID, 0, 2*len(rows))
	for _, row := range rows {
		id, err := r.table.idOf(row)
		if err != nil {
			return StrayPage{}, err
		}
		key := r.table.keyOf(row)
		if f.CampaignID != "" && key.CampaignID != f.CampaignID {
			continue // for Dataverse the case of letters makes no difference
		}
		all = append(all, Stray{ID: id, Key: key})
		if ids = append(ids, id); key.UUID() != id {
			ids = append(ids, key.UUID())
		}
	}
	page.Rows = len(all)
	copies, err := r.outbox.CopiesOf(ctx, ids)
	if err != nil {
		return StrayPage{}, err
	}
	byRow := make(map[uuid.UUID]bool, len(copies))
	byKey := make(map[uuid.UUID]*sinks.Copy, len(copies))
	for i := range copies {
		byRow[copies[i].RowID], byKey[copies[i].Metrics.RunKey] = true, &copies[i]
	}
	for _, s := range all {
		if !byRow[s.ID] {
			s.Run = byKey[s.Key.UUID()]
			page.Strays = append(page.Strays, s)
		}
	}
	return page, nil
}

// rowFilter is the filter in the language of the Web API.
func rowFilter(f sinks.CopyFilter) string {
	const createdAt = "apex_createdat"
	var terms []string
	if f.CampaignID != "" {
		terms = append(terms, fields[0].column.Name+" eq "+Quote(f.CampaignID))
	}
	if !f.Since.IsZero() {
		terms = append(terms, createdAt+" ge "+f.Since.UTC().Format(timeFormat))
	}
	if !f.Until.IsZero() {
		terms = append(terms, createdAt+" lt "+f.Until.Add(time.Second-1).UTC().Format(timeFormat))
	}
	return strings.Join(terms, " and ")
}

// Adoption is what Adopt decided.
type Adoption struct {
	Runs    []uuid.UUID // that have another row now
	Surplus []Stray     // further rows of the same runs, that may be there or not
}

// Adopt makes one stray of each run its row, which the run keeps; a run that has taken over a row before keeps that one. It
// changes nothing in Dataverse and marks nothing. Strays without a run are left alone.
func (r *Reconciler) Adopt(ctx context.Context, strays []Stray) (Adoption, error) {
	owned, err := r.ownedRows(ctx, strays)
	if err != nil {
		return Adoption{}, err
	}
	var done Adoption
	rows := make(map[uuid.UUID]uuid.UUID)
	settled := make(map[uuid.UUID]bool) // runs whose row is decided
	for _, s := range strays {
		if s.Run == nil {
			continue
		}
		run, own := s.Run.Metrics.RunKey, s.Run.RowID
		switch {
		case settled[run]:
			done.Surplus = append(done.Surplus, s)
		case own != run && owned[own]:
			done.Surplus = append(done.Surplus, s)
		default:
			done.Runs = append(done.Runs, run)
			rows[run] = s.ID
			if owned[own] {
				done.Surplus = append(done.Surplus, Stray{ID: own, Key: s.Key, Run: s.Run})
			}
		}
		settled[run] = true
	}
	return done, r.outbox.SetRowIDs(ctx, rows)
}

// ownedRows tells which rows exist under the ids of the strays' runs and name these runs.
func (r *Reconciler) ownedRows(ctx context.Context, strays []Stray) (map[uuid.UUID]bool, error) {
	runs := make(map[uuid.UUID]uuid.UUID) // by row id
	var ids []uuid.UUID
	for _, s := range strays {
		if s.Run == nil {
			continue
		}
		if _, twice := runs[s.Run.RowID]; !twice {
			ids = append(ids, s.Run.RowID)
			runs[s.Run.RowID] = s.Run.Metrics.RunKey
		}
	}
	rows, err := r.rows(ctx, ids, r.table.keyColumns())
	if err != nil {
		return nil, err
	}
	owned := make(map[uuid.UUID]bool, len(rows))
	for id, row := range rows {
		owned[id] = r.table.keyOf(row).UUID() == runs[id]
	}
	return owned, nil
}

// Remove deletes surplus rows. Each is read once more: it must still name the run, and the run must have another row that
// is there. Rows of runs that wait are left: a request that is on its way would bring them back.
func (r *Reconciler) Remove(ctx context.Context, surplus []Stray) (removed int, left []Stray, err error) {
	if surplus, left, err = r.idle(ctx, surplus); err != nil {
		return 0, nil, err
	}
	owned, err := r.ownedRows(ctx, surplus)
	if err != nil {
		return 0, nil, err
	}
	ids := make([]uuid.UUID, len(surplus))
	for i, s := range surplus {
		ids[i] = s.ID
	}
	rows, err := r.rows(ctx, ids, r.table.keyColumns())
	if err != nil {
		return 0, nil, err
	}
	for _, s := range surplus {
		row, exists := rows[s.ID]
		switch {
		case !exists:
			continue
		case !owned[s.Run.RowID] || s.Run.RowID == s.ID || r.table.keyOf(row).UUID() != s.Run.Metrics.RunKey:
			left = append(left, s)
			continue
		}
		err := r.ask(ctx, func() error { return r.client.Delete(ctx, r.table.EntitySet, s.ID) })
		if err != nil && !errors.Is(err, ErrNoRow) {
			return removed, nil, fmt.Errorf("remove row %s, a second one of its run: %w", s.ID, err)
		}
		removed++
	}
	return removed, left, nil
}

// idle reads the runs of surplus rows again and parts those that wait from the others.
func (r *Reconciler) idle(ctx context.Context, surplus []Stray) (idle, waiting []Stray, err error) {
	keys := make([]uuid.UUID, len(surplus))
	for i, s := range surplus {
		keys[i] = s.Run.Metrics.RunKey
	}
	fresh, err := r.copies(ctx, keys)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range surplus {
		now, exists := fresh[s.Run.Metrics.RunKey]
		if !exists || now.Waiting {
			waiting = append(waiting, s)
			continue
		}
		s.Run = now
		idle = append(idle, s)
	}
	return idle, waiting, nil
}
