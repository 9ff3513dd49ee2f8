package dataverse

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// wantText fails the test unless all parts are in the text.
func wantText(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
}

// key makes an alternate key of the table and waits until it holds.
func (w *world) key(p *process, columns ...string) {
	w.t.Helper()
	_, err := p.Client.do(context.Background(), request{op: "create key", method: "POST",
		url:  p.Client.url(definitionPath(testTable) + "/Keys"),
		body: []byte(`{"SchemaName":"apex_Names","KeyAttributes":["` + strings.Join(columns, `","`) + `"]}`)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.eventually(time.Hour, "the key is active", func() bool {
		table, err := p.Client.Table(context.Background(), testTable)
		return err == nil && len(table.Keys) == 1 && table.Keys[0].Status == "Active"
	})
}

// insert makes a row by hand.
func (w *world) insert(row Row) {
	w.t.Helper()
	if _, err := w.processes[0].Client.Create(context.Background(), testSet, row); err != nil {
		w.t.Fatal(err)
	}
}

// removeAll removes the rows that match by hand.
func (w *world) removeAll(filter string) {
	w.t.Helper()
	client := w.processes[0].Client
	for row, err := range client.Query(context.Background(), testSet, Query{Select: []string{"apex_campaignmetricid"}, Filter: filter}) {
		if err != nil {
			w.t.Fatal(err)
		}
		if err := client.Delete(context.Background(), testSet, rowID(w.t, row)); err != nil {
			w.t.Fatal(err)
		}
	}
}

func rowID(t *testing.T, row Row) uuid.UUID {
	t.Helper()
	id, err := uuid.Parse(row["apex_campaignmetricid"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return id
}
