package sinktest

import (
	"testing"

	"github.com/apexsalesai/runmetrics/sinks"
)

func (s suite) testLedger(t *testing.T) {
	t.Run("FirstPositionIsEpochZero", s.firstPosition)
}

func (s suite) firstPosition(t *testing.T) {
	t.Parallel()
	store, _ := s.open(t, Options{})
	p, err := store.Position(t.Context(), "RUN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if p != (sinks.Position{Stream: "RUN_EVENTS"}) {
		t.Errorf("position of an unknown stream: %+v", p)
	}
}
