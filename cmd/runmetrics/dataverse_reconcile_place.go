package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/sinks"
)

// pass is a part of the work.
type pass string

// The passes, in their order.
const (
	passRows pass = "rows" // each row of Dataverse is looked for in the store
	passRuns pass = "runs" // each run of the store is compared with its row
	passDone pass = "done"
)

// place is how far a reconciliation is, what it goes through and what it has found: all that it takes to go on.
type place struct {
	Of       string    `json:"of"` // organization and table
	Campaign string    `json:"campaign,omitempty"`
	Since    instant   `json:"since,omitzero"`
	Until    instant   `json:"until,omitzero"`
	Pass     pass      `json:"pass"`
	Next     string    `json:"next,omitempty"`   // link to the page of rows
	After    uuid.UUID `json:"after,omitzero"`   // the last run
	Listed   int64     `json:"listed,omitempty"` // of the differences that were found
	Counts   counts    `json:"counts"`
}

// begin makes the zero place the beginning. Another one must be of the same table.
func (p *place) begin(cfg *Config) error {
	of := cfg.DataverseURL + " " + cfg.DataverseTable
	switch p.Of {
	case "":
		p.Of, p.Pass = of, passRows
	case of:
	default:
		return fmt.Errorf("--resume is of %s, not of %s", printable(p.Of), of)
	}
	return nil
}

func (p *place) filter() sinks.CopyFilter {
	return sinks.CopyFilter{CampaignID: p.Campaign, Since: p.Since.Time, Until: p.Until.Time}
}

// token is the place as one word.
func (p *place) token() string {
	text, _ := json.Marshal(p) // names, times and numbers always can
	return base64.RawURLEncoding.EncodeToString(text)
}

// parse reads a token.
func (p *place) parse(token string) error {
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(text, p)
	}
	if err != nil || p.Of == "" || p.Pass != passRows && p.Pass != passRuns {
		return errors.New("--resume is not what reconcile printed, or not all of it")
	}
	return nil
}

// counts is what was found, as it stands now.
type counts struct {
	Rows    int64 `json:"rows"` // of Dataverse that were looked at
	OtherID int64 `json:"otherId"`
	Unknown int64 `json:"unknown"`

	Runs      int64 `json:"runs"` // of the store that were compared
	Equal     int64 `json:"equal"`
	Waiting   int64 `json:"waiting"`
	Missing   int64 `json:"missing"`
	Older     int64 `json:"older"`
	Different int64 `json:"different"`
	Parked    int64 `json:"parked"`

	Adopted  int64 `json:"adopted"`  // runs that took over a row
	Removed  int64 `json:"removed"`  // further rows of such runs
	Repaired int64 `json:"repaired"` // runs that differed and are equal now
}

// of is the count of one kind of difference.
func (c *counts) of(k kind) *int64 {
	return map[kind]*int64{kindMissing: &c.Missing, kindOlder: &c.Older, kindDifferent: &c.Different, kindParked: &c.Parked,
		kindOtherID: &c.OtherID, kindUnknown: &c.Unknown}[k]
}

// differences is how many are left.
func (c *counts) differences() int64 {
	return c.OtherID + c.Unknown + c.Missing + c.Older + c.Different + c.Parked
}

// instant is a time as a flag.
type instant struct{ time.Time }

// Set reads a day, which begins at midnight UTC, or a time.
func (i *instant) Set(s string) (err error) {
	if i.Time, err = time.Parse(time.DateOnly, s); err == nil {
		return nil
	}
	if i.Time, err = time.Parse(time.RFC3339, s); err != nil {
		return errors.New("write a time such as 2026-03-01 or 2026-03-01T12:00:00Z")
	}
	return nil
}

// String is the flag's value.
func (i *instant) String() string {
	if i.IsZero() {
		return ""
	}
	return i.Format(time.RFC3339)
}

// Type names the flag's values in the help.
func (i *instant) Type() string { return "time" }
