package main

import (
	"context"
	"fmt"
	"time"
)

const (
	// mostParked is how many refused runs are named; the newest say what is wrong with the others.
	mostParked = 20
	// lateCopy is how long a run may wait for its row before that is worth a word: longer than a pause that Dataverse asks for.
	lateCopy = 10 * time.Minute
)

// examineOutbox says what the database still wants to send, and what Dataverse has refused.
func (d *doctor) examineOutbox(ctx context.Context) {
	if !d.cfg.copied() {
		d.warn(areaDataverse, "copy", "DATAVERSE_URL is set, but nothing is sent there: USE_DATAVERSE is not true",
			"set USE_DATAVERSE=true for runmetrics run; runmetrics dataverse reconcile --repair sends what was committed before")
	}
	if d.store == nil {
		return
	}
	now := time.Now()
	standing, err := d.store.Standing(ctx, now)
	if err != nil {
		d.fail(areaDataverse, "outbox", err.Error(), databaseFix(err))
		return
	}
	finding := fmt.Sprintf("%d runs wait to be sent, %d rows were sent today (UTC)", standing.Waiting, standing.TargetsToday)
	if budget := d.cfg.DataverseDailyBudget; budget > 0 {
		finding += fmt.Sprintf(" of the %d that DATAVERSE_DAILY_BUDGET allows", budget)
	}
	if age := now.Sub(standing.Oldest); standing.Waiting > 0 && age > lateCopy {
		d.warn(areaDataverse, "outbox", fmt.Sprintf("%s; the first since %s", finding, age.Round(time.Second)),
			"is runmetrics run up, with USE_DATAVERSE=true? Its /readyz says under dataverse what keeps them")
	} else {
		d.ok(areaDataverse, "outbox", finding)
	}
	if standing.Parked > 0 {
		d.parked(ctx, standing.Parked)
	}
}

// parked names the newest runs that Dataverse refused.
func (d *doctor) parked(ctx context.Context, all int64) {
	newest, err := d.store.Parked(ctx, mostParked)
	if err != nil {
		d.fail(areaDataverse, "outbox", err.Error(), databaseFix(err))
		return
	}
	d.warn(areaDataverse, "refused rows", fmt.Sprintf("%d runs have no row of their newest version; the newest of them:", all),
		"mend what the reasons say, then runmetrics dataverse reconcile --repair sends them again")
	for i := range newest {
		m := &newest[i].Metrics
		d.warn(areaDataverse, "refused row", fmt.Sprintf("%s / %s / %s: %s", m.CampaignID, m.RunID, m.Phase, newest[i].Parked), "")
	}
}
