//go:build !linux

package sinktest

import (
	"testing"
	"time"
)

// OwnTime is 0 where that of a server is not known either.
func OwnTime(testing.TB) time.Duration { return 0 }

// ProcessorTime skips the benchmark: what another process uses is looked up on Linux only.
func (s *PostgresServer) ProcessorTime(tb testing.TB) time.Duration {
	tb.Helper()
	tb.Skip("the processor time of a server is known on Linux only")
	return 0
}
