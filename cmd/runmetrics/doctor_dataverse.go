package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/events"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

const (
	// lookAtRows is how many rows are looked at for ids that are not their run's: one page, one request.
	lookAtRows = 1000
	// probeCampaign has the row with which rights are tried.
	probeCampaign = "runmetrics-doctor"
)

// examineDataverse follows the way of a row, and ends where it is blocked: configuration, address, token, application user,
// table, rights. What waits in the database is told in any case.
func (d *doctor) examineDataverse(ctx context.Context) {
	if !d.cfg.copied() && d.cfg.DataverseURL == "" {
		d.ok(areaDataverse, "copy", "not used, USE_DATAVERSE is not true")
		return
	}
	d.examineOutbox(ctx)
	var missing faults
	needDataverse(d.cfg, &missing)
	for _, f := range missing.list {
		d.fault(areaDataverse, f)
	}
	if len(missing.list) > 0 || !d.examineAddress(ctx) {
		return
	}
	client, err := newDataverse(d.cfg, d.log)
	if err != nil {
		d.fail(areaDataverse, "configuration", err.Error(), "")
		return
	}
	defer client.Close()
	if !d.examineUser(ctx, client) {
		return
	}
	if table := d.examineTable(ctx, client); table != nil {
		d.examineRows(ctx, client, table)
		d.examineWriting(ctx, client, table)
	}
}

// examineAddress tells whether anything answers at DATAVERSE_URL. An organization answers who shows no token with 401, and
// where to get one.
func (d *doctor) examineAddress(ctx context.Context) bool {
	address := strings.TrimRight(d.cfg.DataverseURL, "/")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/api/data/v9.2/WhoAmI", nil)
	if err != nil {
		d.fail(areaDataverse, "address", "DATAVERSE_URL is not a URL", "")
		return false
	}
	request.Close = true
	// A redirect is an answer: it says that this is not the organization.
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	if err != nil {
		d.fail(areaDataverse, "address", err.Error(),
			"correct DATAVERSE_URL, or let this machine reach it: name, port, proxy, certificates")
		return false
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20))
	if answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode >= http.StatusInternalServerError {
		d.warn(areaDataverse, "address", address+" answers "+answer.Status,
			"run doctor again in some minutes; the service waits and goes on by itself")
		return true
	}
	if answer.StatusCode != http.StatusUnauthorized {
		d.warn(areaDataverse, "address",
			fmt.Sprintf("%s answers %s, where an organization would ask for a token", address, answer.Status),
			"set DATAVERSE_URL to the organization, such as https://contoso.crm.dynamics.com")
		return true
	}
	d.ok(areaDataverse, "address", address+" answers")
	return true
}

// examineUser gets a token and asks whose it is.
func (d *doctor) examineUser(ctx context.Context, client *dataverse.Client) bool {
	who, err := client.WhoAmI(ctx)
	if err == nil {
		d.ok(areaDataverse, "token", "tenant "+d.cfg.DataverseTenantID+" issues one to client "+d.cfg.DataverseClientID)
		d.ok(areaDataverse, "application user", fmt.Sprintf("user %s of organization %s", who.UserID, who.OrganizationID))
		return true
	}
	if dataverse.NoToken(err) {
		d.refused("token", err, "let this machine reach DATAVERSE_AUTHORITY, https://login.microsoftonline.com where it is not set")
		return false
	}
	d.ok(areaDataverse, "token", "tenant "+d.cfg.DataverseTenantID+" issues one to client "+d.cfg.DataverseClientID)
	d.refused("application user", err, "")
	return false
}

// refused notes an error of Dataverse as a failure, with the fix that it knows, or else another.
func (d *doctor) refused(subject string, err error, otherwise string) {
	var e *dataverse.Error
	if !errors.As(err, &e) {
		d.fail(areaDataverse, subject, err.Error(), otherwise)
		return
	}
	bare := *e
	fix := bare.Hint
	if bare.Hint = ""; fix == "" {
		fix = otherwise
	}
	d.fail(areaDataverse, subject, bare.Error(), fix)
}

// examineTable reads the definition. It is nil where there is none.
func (d *doctor) examineTable(ctx context.Context, client *dataverse.Client) *dataverse.Table {
	name := d.cfg.DataverseTable
	table, err := client.Table(ctx, name)
	if errors.Is(err, dataverse.ErrNoTable) {
		d.fail(areaDataverse, "table", "there is no "+name+", or the application user may not see it",
			"runmetrics setup makes it; or correct DATAVERSE_TABLE; or let the user's security role read the table")
		return nil
	}
	if err != nil {
		d.refused("table", err, "")
		return nil
	}
	findings := table.Check()
	for _, f := range findings {
		report, subject := d.warn, "table"
		if f.Fatal {
			report = d.fail
		}
		finding := f.Problem
		if f.Column != "" {
			subject, finding = "column", f.Column+" "+f.Problem
		}
		report(areaDataverse, subject, finding, f.Fix)
	}
	if len(findings) == 0 {
		d.ok(areaDataverse, "table", name+" has all columns, wide enough; rows are at "+table.EntitySet)
	}
	d.examineTitle(table)
	return table
}

// examineTitle says what becomes of the column that people see first.
func (d *doctor) examineTitle(table *dataverse.Table) {
	if _, field := fieldNames[table.PrimaryName]; field {
		return // it is one of the 13, which are never shortened
	}
	title, exists := table.Columns[table.PrimaryName]
	if want := dataverse.Wanted(table.LogicalName).PrimaryName; exists && title.MaxLength < want.MaxLength {
		d.ok(areaDataverse, "title", fmt.Sprintf("%s holds %d characters: longer titles are shortened; the ids stand in full "+
			"in their own columns", title.Name, title.MaxLength))
	}
}

// examineRows reads a page of rows: whether it may, and whether there are rows that somebody else has made.
func (d *doctor) examineRows(ctx context.Context, client *dataverse.Client, table *dataverse.Table) {
	for _, column := range []string{columnCampaign, columnRun, columnPhase} {
		if _, exists := table.Columns[column]; !exists {
			return // the table has failed already
		}
	}
	rows, _, err := client.Page(ctx, table.EntitySet, dataverse.Query{
		Select: []string{table.PrimaryID, columnCampaign, columnRun, columnPhase}, Top: lookAtRows, PageSize: lookAtRows}, "")
	if err != nil {
		d.refused("right to read", err, "give the application user a security role that may read the table")
		return
	}
	d.ok(areaDataverse, "right to read", fmt.Sprintf("rows can be read, %d were", len(rows)))
	others, err := d.otherRows(ctx, table, rows)
	if err != nil {
		d.fail(areaDatabase, "outbox", err.Error(), databaseFix(err))
		return
	}
	if others > 0 {
		d.warn(areaDataverse, "rows", fmt.Sprintf("%d of the %d rows that were read stand under ids that are not their run's: "+
			"somebody else made them", others, len(rows)), "runmetrics dataverse reconcile --adopt takes them over where their runs are in the database")
	}
}

// otherRows counts rows whose id is neither their run's key nor known to the database.
func (d *doctor) otherRows(ctx context.Context, table *dataverse.Table, rows []dataverse.Row) (int, error) {
	others := make(map[uuid.UUID]struct{})
	var ids []uuid.UUID
	for _, row := range rows {
		text := func(column string) string {
			s, _ := row[column].(string)
			return s
		}
		id, err := uuid.Parse(text(table.PrimaryID))
		if err != nil {
			return 0, fmt.Errorf("read the id of a row: %w", err)
		}
		key := events.Key{CampaignID: text(columnCampaign), RunID: text(columnRun), Phase: text(columnPhase)}
		if id != key.UUID() {
			others[id] = struct{}{}
			ids = append(ids, id)
		}
	}
	if d.store == nil || len(ids) == 0 {
		return len(others), nil
	}
	known, err := d.store.CopiesOf(ctx, ids)
	for i := range known {
		delete(others, known[i].RowID)
	}
	return len(others), err
}

// examineWriting tries what the service does with a row, and takes the row away.
func (d *doctor) examineWriting(ctx context.Context, client *dataverse.Client, table *dataverse.Table) {
	if !d.write {
		d.ok(areaDataverse, "right to write", "not tried; doctor --write tries it with a row that it deletes")
		return
	}
	if table.Usable() != nil {
		return // the columns that are in the way are named above
	}
	id := uuid.New()
	probe := aggregate.Metrics{CampaignID: probeCampaign, RunID: id.String()[:8], Phase: "probe", CreatedAt: time.Now()}
	row, err := table.Row(&probe, id)
	if err != nil {
		d.refused("right to write", err, "")
		return
	}
	for _, try := range []string{"create", "write"} {
		if _, err := client.UpsertMultiple(ctx, table, []dataverse.Row{row}); err != nil {
			d.refused("right to "+try, err, "give the application user a security role that may create and write rows of the table")
			// An answer that was lost may have left the row.
			d.removeProbe(ctx, client, table, id)
			return
		}
	}
	d.ok(areaDataverse, "right to write", "a row can be created and written")
	if d.removeProbe(ctx, client, table, id) {
		d.ok(areaDataverse, "right to delete", "a row can be deleted")
	}
}

// removeProbe deletes the row of the probe, and tells whether it did.
func (d *doctor) removeProbe(ctx context.Context, client *dataverse.Client, table *dataverse.Table, id uuid.UUID) bool {
	err := client.Delete(ctx, table.EntitySet, id)
	if err == nil || errors.Is(err, dataverse.ErrNoRow) {
		return err == nil
	}
	finding := "row " + id.String() + " of campaign " + probeCampaign + " could not be deleted: " + err.Error()
	d.warn(areaDataverse, "right to delete", finding, "delete it by hand; the service deletes nothing, "+
		"runmetrics dataverse test and reconcile --adopt do: for them the security role must allow it")
	return false
}
