//go:build !race

package events

import (
	"testing"
	"time"
)

// The race detector empties pools at random, so this is not for it.
//
// Of an execution only the id and the agent are new: what else is allocated is paid a million times.
func TestDecodingAllocatesTwoTexts(t *testing.T) {
	m := Message{Subject: "runs.spring-launch-2026.run-000123", Data: []byte(PlainExecution),
		Header: map[string][]string{"Nats-Pin-Id": {"x"}}, Time: time.Date(2026, 2, 14, 15, 0, 0, 0, time.UTC)}
	if n := testing.AllocsPerRun(1000, func() {
		if _, rejected := Decode(m); rejected != nil {
			t.Fatal(rejected)
		}
	}); n > 2 {
		t.Errorf("%v allocations, not 2", n)
	}
}
