package sinks

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/apexsalesai/runmetrics/aggregate"
)

// AppendLatencies appends the stored form of what a commit changed in a run's latencies: for each change an unsigned
// varint, twice the milliseconds, plus one where it was taken out. Stored forms one after another are the stored form of
// their sum.
func AppendLatencies(b []byte, changes aggregate.LatencyChanges) []byte {
	for _, c := range changes {
		if c < 0 {
			b = binary.AppendUvarint(b, uint64(^c)<<1|1)
		} else {
			b = binary.AppendUvarint(b, uint64(c)<<1)
		}
	}
	return b
}

var errLatencies = errors.New("decode stored latencies: they are not what any commit stores")

// DecodeLatencies gives each change to add, as AppendLatencies took it. An error means that the store was tampered with.
func DecodeLatencies(stored []byte, add func(change int32)) error {
	for len(stored) > 0 {
		v, n := binary.Uvarint(stored)
		if n <= 0 || v>>1 > math.MaxInt32 {
			return errLatencies
		}
		stored = stored[n:]
		ms := int32(v >> 1)
		if v&1 == 1 {
			ms = ^ms
		}
		add(ms)
	}
	return nil
}

// sameLatencies tells whether what a commit stored is what its events change.
func sameLatencies(stored []byte, changes aggregate.LatencyChanges) bool {
	var list aggregate.LatencyChanges
	if err := DecodeLatencies(stored, func(c int32) { list = append(list, c) }); err != nil {
		return false
	}
	slices.Sort(list)
	slices.Sort(changes)
	return slices.Equal(list, changes)
}
