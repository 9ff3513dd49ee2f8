package aggregate

import (
	"strconv"
	"time"

	"github.com/apexsalesai/runmetrics/events"
)

// AppendJSON appends the record as encoding/json writes it, but for <, > and &, which stay as they are. Each commit tells of
// each run that it changed, and this takes a fraction of the encoder's time.
func (m *Metrics) AppendJSON(b []byte) []byte {
	w := jsonWriter{b: append(b, '{')}
	w.text("campaignId", m.CampaignID)
	w.text("runId", m.RunID)
	w.text("phase", m.Phase)
	w.text("runKey", m.RunKey.String())
	w.text("status", string(m.Status))
	w.text("source", string(m.Source))
	w.integer("agentsTotal", m.AgentsTotal)
	w.integer("agentsSuccessful", m.AgentsSuccessful)
	w.integer("agentsFailed", m.AgentsFailed)
	w.optional("agentsCancelled", m.AgentsCancelled)
	w.optional("agentsRunning", m.AgentsRunning)
	w.optional("agentsMissing", m.AgentsMissing)
	w.optional("agentsExpected", m.AgentsExpected)
	w.optional("executions", m.Executions)
	w.integer("assetsGenerated", m.AssetsGenerated)
	w.integer("tokensIn", m.TokensIn)
	w.integer("tokensOut", m.TokensOut)
	w.name("costUSD")
	w.b = m.CostUSD.append(w.b)
	w.name("costComplete")
	w.b = strconv.AppendBool(w.b, m.CostComplete)
	w.optional("latencyAvgMs", m.LatencyAvgMs)
	w.optional("latencyP50Ms", m.LatencyP50Ms)
	w.optional("latencyP95Ms", m.LatencyP95Ms)
	w.optional("latencyP99Ms", m.LatencyP99Ms)
	w.optional("latencyMaxMs", m.LatencyMaxMs)
	w.name("successRate")
	if m.SuccessRate == nil {
		w.null()
	} else {
		w.b = append(w.b, m.SuccessRate.String()...)
	}
	w.time("createdAt", &m.CreatedAt)
	w.time("finishedAt", m.FinishedAt)
	w.time("updatedAt", &m.UpdatedAt)
	w.integer("version", m.Version)
	return append(w.b, '}')
}

// jsonWriter writes the properties of an object. Names need no escapes.
type jsonWriter struct{ b []byte }

func (w *jsonWriter) name(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(append(append(w.b, '"'), name...), `":`...)
}

func (w *jsonWriter) null() { w.b = append(w.b, "null"...) }

func (w *jsonWriter) text(name, s string) {
	w.name(name)
	w.b = events.AppendQuoted(w.b, s)
}

func (w *jsonWriter) integer(name string, n int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *jsonWriter) optional(name string, n *int64) {
	if n != nil {
		w.integer(name, *n)
		return
	}
	w.name(name)
	w.null()
}

func (w *jsonWriter) time(name string, t *time.Time) {
	w.name(name)
	if t == nil {
		w.null()
		return
	}
	w.b = append(t.AppendFormat(append(w.b, '"'), time.RFC3339Nano), '"')
}
