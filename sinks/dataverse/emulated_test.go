package dataverse_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/apexsalesai/runmetrics/aggregate"
	"github.com/apexsalesai/runmetrics/sinks"
	"github.com/apexsalesai/runmetrics/sinks/dataverse"
	"github.com/apexsalesai/runmetrics/sinks/dataverse/emulator"
)

// organization starts an emulator and a client that it knows.
func organization(t *testing.T, c emulator.Config, changes ...func(*dataverse.Config)) (*dataverse.Client, *emulator.Emulator) {
	t.Helper()
	e, err := emulator.New(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(e)
	config := dataverse.Config{URL: server.URL, Authority: server.URL, TenantID: "contoso.example", ClientID: "emulator",
		ClientSecret: func() string { return "emulator" }}
	for _, change := range changes {
		change(&config)
	}
	client, err := dataverse.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return client, e
}

// campaignTable reads the table that the emulator starts with.
func campaignTable(t *testing.T, c *dataverse.Client) *dataverse.Table {
	t.Helper()
	table, err := c.Table(t.Context(), dataverse.DefaultTable)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// record is a run's record; n makes it one of many.
func record(n int) *aggregate.Metrics {
	rate, latency := aggregate.Percent(6667), int64(38_000+n)
	return &aggregate.Metrics{
		CampaignID: "campaign-1", RunID: fmt.Sprintf("run-%04d", n), Phase: "2-3",
		RunKey:      uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, n)),
		AgentsTotal: 3, AgentsSuccessful: 2, AssetsGenerated: 8, TokensIn: 1000, TokensOut: int64(n),
		LatencyP95Ms: &latency, LatencyAvgMs: &latency, SuccessRate: &rate,
		CreatedAt: time.Date(2026, 3, 1, 12, 0, n, 987_654_000, time.UTC),
	}
}

// rowsOf are the rows of records 0 to n-1.
func rowsOf(t *testing.T, table *dataverse.Table, n int) []dataverse.Row {
	t.Helper()
	rows := make([]dataverse.Row, n)
	for i := range rows {
		var err error
		m := record(i)
		if rows[i], err = table.Row(m, m.RunKey); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

func TestWhoAmIReachesTheOrganization(t *testing.T) {
	t.Parallel()
	client, _ := organization(t, emulator.Config{Limits: emulator.DefaultLimits()})
	who, err := client.WhoAmI(t.Context())
	if err != nil || who.UserID == uuid.Nil || who.OrganizationID == uuid.Nil || who.BusinessUnitID == uuid.Nil {
		t.Errorf("%+v, %v", who, err)
	}
}

func TestTheTableOfTheOrganizationIsAsWanted(t *testing.T) {
	t.Parallel()
	client, _ := organization(t, emulator.Config{})
	table := campaignTable(t, client)
	if findings := table.Check(); findings != nil {
		t.Error(findings)
	}
	if table.EntitySet != "apex_campaignmetrics" || table.PrimaryID != "apex_campaignmetricid" || table.PrimaryName != "apex_name" {
		t.Errorf("%+v", table)
	}
}

func TestACreatedTableIsTheWantedOne(t *testing.T) {
	t.Parallel()
	for _, name := range []string{dataverse.DefaultTable, "contoso_metric"} {
		client, _ := organization(t, emulator.Config{Empty: true})
		if _, err := client.Table(t.Context(), name); !errors.Is(err, dataverse.ErrNoTable) {
			t.Fatal(err)
		}
		if err := client.CreateTable(t.Context(), dataverse.Wanted(name)); err != nil {
			t.Fatal(err)
		}
		table, err := client.Table(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if findings := table.Check(); findings != nil {
			t.Errorf("%s: %v", name, findings)
		}
		if _, err := client.UpsertMultiple(t.Context(), table, rowsOf(t, table, 1)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := client.CreateTable(t.Context(), dataverse.Wanted(name)); err == nil {
			t.Errorf("%s was created twice", name)
		}
	}
}

func TestMissingColumnsCanBeAdded(t *testing.T) {
	t.Parallel()
	client, _ := organization(t, emulator.Config{Empty: true})
	wanted := dataverse.Wanted(dataverse.DefaultTable)
	some := wanted
	some.Columns = wanted.Columns[:2]
	if err := client.CreateTable(t.Context(), some); err != nil {
		t.Fatal(err)
	}
	for _, finding := range campaignTable(t, client).Check() {
		i := slices.IndexFunc(wanted.Columns, func(c dataverse.Column) bool { return c.Name == finding.Column })
		if !finding.Fatal || i < 0 {
			t.Fatal(finding)
		}
		if err := client.CreateColumn(t.Context(), dataverse.DefaultTable, wanted.Columns[i]); err != nil {
			t.Fatal(err)
		}
	}
	if findings := campaignTable(t, client).Check(); findings != nil {
		t.Error(findings)
	}
}

func TestARowLives(t *testing.T) {
	t.Parallel()
	client, _ := organization(t, emulator.Config{})
	table := campaignTable(t, client)
	m := record(7)
	row, err := table.Row(m, m.RunKey)
	if err != nil {
		t.Fatal(err)
	}
	set, id := table.EntitySet, m.RunKey
	if err := client.Update(t.Context(), set, id, row); !errors.Is(err, dataverse.ErrNoRow) {
		t.Errorf("update before there is a row: %v", err)
	}
	for range 2 {
		if err := client.Upsert(t.Context(), set, id, row); err != nil {
			t.Fatal(err)
		}
	}
	got, err := client.Get(t.Context(), set, id)
	if err != nil {
		t.Fatal(err)
	}
	if differences := table.Same(m, got); differences != nil {
		t.Error(differences)
	}
	if got["apex_name"] != "campaign-1 · run-0007 · 2-3" {
		t.Error(got["apex_name"])
	}
	if err := client.Update(t.Context(), set, id, dataverse.Row{"apex_phase": "2-4"}); err != nil {
		t.Fatal(err)
	}
	if got, err = client.Get(t.Context(), set, id, "apex_phase"); err != nil || got["apex_phase"] != "2-4" || got["apex_runid"] != nil {
		t.Errorf("%v, %v", got, err)
	}
	if err := client.Delete(t.Context(), set, id); err != nil {
		t.Fatal(err)
	}
	_, getErr := client.Get(t.Context(), set, id)
	for _, err := range []error{getErr, client.Delete(t.Context(), set, id)} {
		if !errors.Is(err, dataverse.ErrNoRow) || !errors.Is(err, sinks.ErrRefused) {
			t.Errorf("after the end: %v", err)
		}
	}
	if created, err := client.Create(t.Context(), set, dataverse.Row{"apex_phase": "x"}); err != nil || created == uuid.Nil {
		t.Errorf("%s, %v", created, err)
	}
}

func TestBulkWritesMayBeRepeated(t *testing.T) {
	t.Parallel()
	client, e := organization(t, emulator.Config{})
	table := campaignTable(t, client)
	rows := rowsOf(t, table, 100)
	for range 2 {
		if _, err := client.UpsertMultiple(t.Context(), table, rows); err != nil {
			t.Fatal(err)
		}
	}
	e.Inject(emulator.Fault{Kind: "drop-after", Path: "UpsertMultiple", Times: 1})
	_, err := client.UpsertMultiple(t.Context(), table, rows[:1])
	if !dataverse.Ambiguous(err) {
		t.Errorf("cut after it took place: %v", err)
	}
	if got := len(e.Rows(table.EntitySet)); got != 100 {
		t.Errorf("%d rows, want 100", got)
	}
}

func TestOneBadRowRefusesTheWholeBulkWrite(t *testing.T) {
	t.Parallel()
	client, e := organization(t, emulator.Config{})
	table := campaignTable(t, client)
	rows := rowsOf(t, table, 3)
	for column, value := range map[string]any{
		"apex_phase": strings.Repeat("x", 17), "apex_tokensin": int64(1) << 31, "apex_costusd": json.Number("100000"),
		"apex_unknown": "x", "apex_createdat": "yesterday",
	} {
		spoilt := slices.Clone(rows)
		spoilt[1] = maps.Clone(rows[1])
		spoilt[1][column] = value
		_, err := client.UpsertMultiple(t.Context(), table, spoilt)
		var refusal *dataverse.Error
		if !errors.Is(err, sinks.ErrRefused) || !errors.As(err, &refusal) || refusal.Code == "" || refusal.Message == "" {
			t.Errorf("%s: %v", column, err)
		}
	}
	if got := e.Rows(table.EntitySet); len(got) > 0 {
		t.Errorf("%d rows of refused requests are there", len(got))
	}
}

func TestQueriesSelectFilterAndOrder(t *testing.T) {
	t.Parallel()
	client, _ := organization(t, emulator.Config{})
	table := campaignTable(t, client)
	rows := rowsOf(t, table, 25)
	rows[3]["apex_campaignid"] = "O'Neil & söhne +1%"
	if _, err := client.UpsertMultiple(t.Context(), table, rows); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		q    dataverse.Query
		want []string // run ids, shortened to their number
	}{
		"all in pages": {dataverse.Query{PageSize: 10, OrderBy: "apex_runid", Filter: "apex_tokensout ge 5"}, numbers(5, 25)},
		"backwards":    {dataverse.Query{OrderBy: "apex_createdat desc", Top: 2}, []string{"0024", "0023"}},
		"top in pages": {dataverse.Query{OrderBy: "apex_runid", Top: 7, PageSize: 3}, numbers(0, 7)},
		"odd text":     {dataverse.Query{Filter: "apex_campaignid eq " + dataverse.Quote("O'Neil & söhne +1%")}, []string{"0003"}},
		"time and text": {dataverse.Query{Filter: "apex_createdat lt 2026-03-01T12:00:02Z and apex_phase eq '2-3'",
			OrderBy: "apex_runid"}, numbers(0, 2)},
		"nothing": {dataverse.Query{Filter: "apex_phase eq 'x'"}, nil},
	} {
		test.q.Select = []string{"apex_runid"}
		var got []string
		for row, err := range client.Query(t.Context(), table.EntitySet, test.q) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if row["apex_phase"] != nil {
				t.Errorf("%s: more than was selected: %v", name, row)
			}
			got = append(got, strings.TrimPrefix(row["apex_runid"].(string), "run-"))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func numbers(from, to int) []string {
	var list []string
	for n := from; n < to; n++ {
		list = append(list, fmt.Sprintf("%04d", n))
	}
	return list
}

func TestWhatIsWrongWithTheConfigurationIsNamed(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*dataverse.Config){
		"client secret is wrong": func(c *dataverse.Config) { c.ClientSecret = func() string { return "another" } },
		"client id is unknown":   func(c *dataverse.Config) { c.ClientID = "another" },
	} {
		client, _ := organization(t, emulator.Config{}, change)
		err := ask(t.Context(), client)
		if !errors.Is(err, sinks.ErrBlocked) || !strings.Contains(err.Error(), want) || !dataverse.NoToken(err) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	client, _ := organization(t, emulator.Config{})
	_, err := client.Table(t.Context(), "apex_gone")
	if !errors.Is(err, sinks.ErrBlocked) || !strings.Contains(err.Error(), "`runmetrics setup` makes it, or set DATAVERSE_TABLE") {
		t.Error(err)
	}
	missing := &dataverse.Table{LogicalName: "apex_gone", EntitySet: "apex_gones", PrimaryID: "apex_goneid"}
	_, err = client.UpsertMultiple(t.Context(), missing, []dataverse.Row{{"apex_goneid": uuid.NewString()}})
	if !errors.Is(err, sinks.ErrBlocked) || !strings.Contains(err.Error(), "DATAVERSE_TABLE") {
		t.Error(err)
	}
}

func TestFaultsOfTheServiceAreToldApart(t *testing.T) {
	t.Parallel()
	client, e := organization(t, emulator.Config{})
	table := campaignTable(t, client)
	rows := rowsOf(t, table, 1)
	type verdict struct {
		Unavailable, Throttled, Ambiguous, TimedOut bool
		Wait                                        time.Duration
	}
	for name, test := range map[string]struct {
		fault emulator.Fault
		want  verdict
	}{
		"throttled": {emulator.Fault{Kind: "throttle", RetryAfter: 3 * time.Second},
			verdict{Unavailable: true, Throttled: true, Wait: 3 * time.Second}},
		"maintenance": {emulator.Fault{Kind: "error", Status: 503, RetryAfter: time.Minute},
			verdict{Unavailable: true, Throttled: true, Wait: time.Minute}},
		"unavailable":  {emulator.Fault{Kind: "error", Status: 503}, verdict{Unavailable: true}},
		"error":        {emulator.Fault{Kind: "error", Status: 500}, verdict{Unavailable: true}},
		"gateway":      {emulator.Fault{Kind: "error", Status: 502}, verdict{Unavailable: true, Ambiguous: true}},
		"gateway time": {emulator.Fault{Kind: "error", Status: 504}, verdict{Unavailable: true, Ambiguous: true, TimedOut: true}},
		"cut before":   {emulator.Fault{Kind: "drop-before"}, verdict{Unavailable: true, Ambiguous: true}},
		"cut after":    {emulator.Fault{Kind: "drop-after"}, verdict{Unavailable: true, Ambiguous: true}},
		"bad token":    {emulator.Fault{Kind: "expired-token"}, verdict{}},
	} {
		test.fault.Times = 1
		e.Inject(test.fault)
		_, err := client.UpsertMultiple(t.Context(), table, rows)
		got := verdict{Unavailable: errors.Is(err, sinks.ErrUnavailable), Ambiguous: dataverse.Ambiguous(err),
			TimedOut: dataverse.TimedOut(err)}
		got.Wait, got.Throttled = dataverse.Throttled(err)
		if got != test.want || (err == nil) != (name == "bad token") {
			t.Errorf("%s: %+v, want %+v (%v)", name, got, test.want, err)
		}
	}
	if got := e.Stats().Tokens; got != 2 {
		t.Errorf("%d tokens, want 2: one expired before its time", got)
	}
}

func TestManyCallersShareOneClient(t *testing.T) {
	t.Parallel()
	client, e := organization(t, emulator.Config{Limits: emulator.DefaultLimits()})
	table := campaignTable(t, client)
	rows := rowsOf(t, table, 200)
	var all errgroup.Group
	for i := range 20 {
		all.Go(func() error {
			_, err := client.UpsertMultiple(t.Context(), table, rows[i*10:(i+1)*10])
			return err
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := len(e.Rows(table.EntitySet)); got != 200 || e.Stats().Tokens != 1 {
		t.Errorf("%d rows, %d tokens", got, e.Stats().Tokens)
	}
}
