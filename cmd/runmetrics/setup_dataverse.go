package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/apexsalesai/runmetrics/sinks/dataverse"
)

// needCopied wants Dataverse's settings where there is to be a copy.
func needCopied(cfg *Config, f *faults) {
	if cfg.copied() {
		needDataverse(cfg, f)
	}
}

// dataverse prepares the table in Dataverse, where there is to be a copy.
func (s *settingUp) dataverse(ctx context.Context) {
	switch {
	case !s.cfg.copied() && s.cfg.DataverseURL == "":
		return // nobody has heard of it
	case !s.cfg.copied():
		s.line("table", s.cfg.DataverseTable, "skipped, USE_DATAVERSE is not true")
		return
	}
	client, err := newDataverse(s.cfg, s.log)
	if err != nil {
		s.report("table", s.cfg.DataverseTable, change{}, err)
		return
	}
	defer client.Close()
	plan, others, err := planTable(ctx, client, s.cfg.DataverseTable)
	if !s.carryOut(ctx, "table", s.cfg.DataverseTable, plan, err) {
		return
	}
	for _, f := range others {
		s.finding(f)
	}
}

// finding prints a difference that is left as it is: values may hang on it.
func (s *settingUp) finding(f dataverse.Finding) {
	weight := "left"
	if f.Fatal {
		s.failed = true
		weight = "failed"
	}
	s.line("", "", fmt.Sprintf("  %s: %s → %s", weight, about(f), f.Fix))
}

// about is what a finding says, in one sentence.
func about(f dataverse.Finding) string {
	return printable(strings.TrimSpace(f.Column + " " + f.Problem))
}

// planTable compares the table with the one that is wanted. What is missing is made; others are the differences that a
// person must decide about.
func planTable(ctx context.Context, client *dataverse.Client, name string) (_ change, others []dataverse.Finding, err error) {
	want := dataverse.Wanted(name)
	table, err := client.Table(ctx, name)
	if errors.Is(err, dataverse.ErrNoTable) {
		return change{Created: true, apply: func(ctx context.Context) error { return client.CreateTable(ctx, want) }}, nil, nil
	}
	if err != nil {
		return change{}, nil, err
	}
	var c change
	var missing []dataverse.Column
	for _, column := range want.Columns {
		if _, exists := table.Columns[column.Name]; !exists {
			missing = append(missing, column)
			c.Differs = append(c.Differs, fmt.Sprintf("column %s of type %s", column.Name, column.Type))
		}
	}
	c.apply = func(ctx context.Context) error {
		for _, column := range missing {
			if err := client.CreateColumn(ctx, name, column); err != nil {
				return err
			}
		}
		return nil
	}
	for _, f := range table.Check() {
		if _, exists := table.Columns[f.Column]; exists || f.Column == "" {
			others = append(others, f)
		}
	}
	return c, others, nil
}
