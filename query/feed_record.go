package query

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// record is what a record is known by, and its JSON as it was announced.
type record struct {
	CampaignID string           `json:"campaignId"`
	RunID      string           `json:"runId"`
	Phase      string           `json:"phase"`
	RunKey     uuid.UUID        `json:"runKey"`
	Status     aggregate.Status `json:"status"`
	UpdatedAt  time.Time        `json:"updatedAt"`
	Version    int64            `json:"version"`

	raw []byte
}

// readAnnouncement takes the records out of an announcement. Where each has a line of its own they need not be parsed to
// be told apart: while a stream is read at full speed, parsing all of them would take a twentieth of the processors.
func readAnnouncement(announcement []byte) ([]record, error) {
	var records []record
	if _, lines, ok := bytes.Cut(announcement, []byte(`"records":[`+"\n")); ok {
		for line := range bytes.SplitSeq(bytes.TrimSuffix(lines, []byte("\n]}")), []byte{'\n'}) {
			r, err := readRecord(bytes.Clone(bytes.TrimSuffix(line, []byte{','})))
			if err != nil {
				return nil, err
			}
			records = append(records, r)
		}
		return records, nil
	}
	var changed struct {
		Records []json.RawMessage `json:"records"`
	}
	if err := json.Unmarshal(announcement, &changed); err != nil {
		return nil, err
	}
	for _, raw := range changed.Records {
		r, err := readRecord(raw)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// Between these stands what need not be read. In no text of a record is a bare quote, so they are found where they are.
var (
	unreadFrom = []byte(`,"source":`)
	unreadTo   = []byte(`,"updatedAt":`)
)

// readRecord reads what a record is known by. It keeps the JSON.
func readRecord(raw []byte) (record, error) {
	r := record{raw: raw}
	from, to := bytes.Index(raw, unreadFrom), bytes.LastIndex(raw, unreadTo)
	if from > 0 && from < to {
		brief := append(append(make([]byte, 0, from+len(raw)-to), raw[:from]...), raw[to:]...)
		if json.Unmarshal(brief, &r) == nil && r.RunKey != uuid.Nil && r.Version > 0 {
			return r, nil
		}
	}
	r = record{raw: raw} // it was written otherwise
	return r, json.Unmarshal(raw, &r)
}

// recordOf is a record that was read from the store.
func recordOf(m *aggregate.Metrics) (record, error) {
	raw, err := json.Marshal(m)
	return record{CampaignID: m.CampaignID, RunID: m.RunID, Phase: m.Phase, RunKey: m.RunKey, Status: m.Status,
		UpdatedAt: m.UpdatedAt, Version: m.Version, raw: raw}, err
}
