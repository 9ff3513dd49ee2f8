package events_test

import (
	"testing"

	"github.com/apexsalesai/runmetrics/events"
)

// metrics is the greatest good report.
var metrics = wire{
	"campaignId": `"c-1"`, "runId": `"r-1"`, "phase": `"2-3"`, "agentsTotal": `1000000000`, "agentsSuccessful": `1000000000`,
	"assetsGenerated": `9007199254740991`, "tokensIn": `9007199254740991`, "tokensOut": `9007199254740991`,
	"costUSD": `1000000000`, "latencyP95Ms": `2147483647`, "latencyAvgMs": `2147483647`,
}

func reported(m wire) wire { return sample(events.RunReported).with("metrics", string(m.json())) }

func TestReport(t *testing.T) {
	e := mustDecode(t, reported(metrics))
	want := events.Report{AgentsTotal: 1e9, AgentsSuccessful: 1e9, AssetsGenerated: 1<<53 - 1, TokensIn: 1<<53 - 1,
		TokensOut: 1<<53 - 1, Cost: 1e18, LatencyP95Ms: 1<<31 - 1, LatencyAvgMs: 1<<31 - 1}
	if *e.Report != want {
		t.Errorf("got %+v, want %+v", *e.Report, want)
	}
}

func TestReportMayLackTheNamesOfItsRun(t *testing.T) {
	for _, name := range []string{"campaignId", "runId", "phase"} {
		if e := mustDecode(t, reported(metrics.with(name, ``))); e.Report == nil {
			t.Errorf("without %s there is no report", name)
		}
	}
	e := mustDecode(t, reported(metrics.with("latencyP95Ms", `0`).with("latencyAvgMs", `12.5`).with("costUSD", `"0.5"`)))
	if e.Report.LatencyP95Ms != 0 || e.Report.LatencyAvgMs != 13 || e.Report.Cost != 5e8 {
		t.Errorf("got %+v", *e.Report)
	}
}

func TestReportIgnoresUnknownProperties(t *testing.T) {
	w := metrics.with("successRate", `"high"`).with("createdAt", `5`).with("id", `5`).with("metrics", `5`).with("version", `7`)
	if e := mustDecode(t, reported(w)); e.ID != "e-1" || e.Report.AgentsTotal != 1e9 {
		t.Errorf("got %+v", e)
	}
}

func TestBadReports(t *testing.T) {
	w := sample(events.RunReported)
	for _, raw := range []string{``, `null`, `[]`, `"x"`, `5`, `true`} {
		mustRefuse(t, w.with("metrics", raw), "metrics", "is required and must be an object")
	}
	counts := []string{"agentsTotal", "agentsSuccessful", "assetsGenerated", "tokensIn", "tokensOut"}
	for _, name := range append([]string{"costUSD", "latencyP95Ms", "latencyAvgMs"}, counts...) {
		mustRefuse(t, reported(metrics.with(name, ``)), "metrics."+name, "is required")
		mustRefuse(t, reported(metrics.with(name, `null`)), "metrics."+name, "is required")
	}
	for _, name := range counts {
		for _, raw := range []string{`-1`, `1.5`, `"5"`, `true`, `[]`, `{}`, `9007199254740992`} {
			mustRefuse(t, reported(metrics.with(name, raw)), "metrics."+name, "must be an integer from 0 to")
		}
	}
	for _, name := range []string{"agentsTotal", "agentsSuccessful"} {
		mustRefuse(t, reported(metrics.with(name, `1000000001`)), "metrics."+name, "must be an integer from 0 to 1000000000")
	}
	for _, name := range []string{"latencyP95Ms", "latencyAvgMs"} {
		for _, raw := range []string{`-1`, `2147483648`, `"5"`, `true`, `{}`} {
			mustRefuse(t, reported(metrics.with(name, raw)), "metrics."+name, "must be a number from 0 to 2147483647")
		}
	}
	for _, raw := range []string{`-1`, `1000000000.000000001`, `"x"`, `true`, `{}`} {
		mustRefuse(t, reported(metrics.with("costUSD", raw)), "metrics.costUSD", "must be a decimal number from 0 to 1000000000")
	}
	for _, name := range []string{"campaignId", "runId", "phase"} {
		for _, raw := range []string{`"other"`, `""`, `"C-1"`, `5`, `{}`} {
			mustRefuse(t, reported(metrics.with(name, raw)), "metrics."+name, "must equal the event's "+name)
		}
	}
	mustRefuse(t, reported(metrics.with("agentsTotal", `4`).with("agentsSuccessful", `5`)), "metrics.agentsSuccessful",
		"must not be greater than agentsTotal")
	both := reported(metrics.with("agentsTotal", `4`).with("agentsSuccessful", `5`).with("latencyAvgMs", `-1`))
	if _, rejected := events.Decode(events.Message{Data: both.json()}); rejected == nil || len(rejected.Fields) != 2 {
		t.Errorf("two bad fields: %v", rejected)
	}
}
