package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apexsalesai/runmetrics/consumer/replay"
	"github.com/apexsalesai/runmetrics/sinks"
)

// selection is which runs, and which messages of streams, a command is about. Its JSON is part of what a resumed command
// is told.
type selection struct {
	Campaign string   `json:"campaign,omitempty"`
	Run      string   `json:"run,omitempty"`
	Phase    string   `json:"phase,omitempty"`
	Streams  []string `json:"streams,omitempty"`
	From     instant  `json:"from,omitzero"`
	To       instant  `json:"to,omitzero"`
	FromSeq  uint64   `json:"fromSeq,omitempty"`
	ToSeq    uint64   `json:"toSeq,omitempty"`
}

// runFlags adds the flags that select runs.
func (s *selection) runFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.Campaign, "campaign", "", "only runs of this `campaign`")
	flags.StringVar(&s.Run, "run", "", "only the `run` of this id, with all its phases")
	flags.StringVar(&s.Phase, "phase", "", "only this `phase`")
}

// rangeFlags adds the flags that select messages of streams.
func (s *selection) rangeFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&s.Streams, "stream", nil, "this `stream` of STREAMS; may be given several times; default: all of them")
	flags.Var(&s.From, "from", "messages that the stream stored at this `time` (2026-03-01 or 2026-03-01T12:00:00Z) or later")
	flags.Var(&s.To, "to", "messages that the stream stored before this `time`")
	flags.Uint64Var(&s.FromSeq, "from-seq", 0, "messages from this `sequence` on; needs --stream where there are several streams")
	flags.Uint64Var(&s.ToSeq, "to-seq", 0, "messages up to this `sequence`, with it")
}

// ranged tells whether the messages are bounded.
func (s *selection) ranged() bool { return s.messages() != replay.Range{} }

// given tells whether anything is selected at all.
func (s *selection) given() bool {
	return s.ranged() || s.filter() != replay.Filter{} || s.Streams != nil
}

func (s *selection) filter() replay.Filter {
	return replay.Filter{CampaignID: s.Campaign, RunID: s.Run, Phase: s.Phase}
}

func (s *selection) records() sinks.RecordFilter {
	return sinks.RecordFilter{CampaignID: s.Campaign, RunID: s.Run, Phase: s.Phase}
}

func (s *selection) messages() replay.Range {
	return replay.Range{FromSequence: s.FromSeq, ToSequence: s.ToSeq, From: s.From.Time, To: s.To.Time}
}

// check finds what contradicts itself.
func (s *selection) check() error {
	switch {
	case !s.To.IsZero() && !s.To.After(s.From.Time):
		return errors.New("--to must be later than --from")
	case s.ToSeq != 0 && s.ToSeq < s.FromSeq:
		return errors.New("--to-seq must not be less than --from-seq")
	}
	return nil
}

// checkStreams completes the streams: those of STREAMS unless some were named.
func (s *selection) checkStreams(cfg *Config) error {
	for _, name := range s.Streams {
		if !slices.Contains(cfg.Streams, name) {
			return fmt.Errorf("--stream %s is not one of STREAMS: %s", printable(name), strings.Join(cfg.Streams, ", "))
		}
	}
	if s.Streams == nil {
		s.Streams = cfg.Streams
	}
	if len(s.Streams) > 1 && (s.FromSeq > 0 || s.ToSeq > 0) {
		return fmt.Errorf("sequences are of one stream: name it with --stream: %s", strings.Join(cfg.Streams, ", "))
	}
	return nil
}
