package query

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/sinks"
)

// A cursor is base64url of: version, createdAt in microseconds, runKey, and a hash of the filters of its listing, because
// a place in one listing says nothing in another.
const (
	cursorVersion = 1
	cursorSize    = 1 + 8 + 16 + filterHashSize

	filterHashSize = 8
)

// What is wrong with a cursor.
var (
	errCursor       = errors.New("must be a nextCursor of an earlier answer")
	errOtherFilters = errors.New("belongs to a listing with other filters")
)

// No run was created before the first, nor can a store be asked for times behind the last.
var (
	firstTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// encodeCursor writes a place in the listing with these filters.
func encodeCursor(c sinks.Cursor, f sinks.Filter) string {
	b := append(make([]byte, 0, cursorSize), cursorVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(c.CreatedAt.UnixMicro()))
	b = append(b, c.RunKey[:]...)
	b = append(b, hashFilter(f)...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// decodeCursor reads what encodeCursor wrote for the same filters. Its errors are errCursor and errOtherFilters.
func decodeCursor(s string, f sinks.Filter) (sinks.Cursor, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != cursorSize || b[0] != cursorVersion {
		return sinks.Cursor{}, errCursor
	}
	c := sinks.Cursor{
		CreatedAt: time.UnixMicro(int64(binary.BigEndian.Uint64(b[1:9]))).UTC(),
		RunKey:    uuid.UUID(b[9:25]),
	}
	switch {
	case c.CreatedAt.Before(firstTime) || c.CreatedAt.After(lastTime):
		return sinks.Cursor{}, errCursor
	case string(b[25:]) != string(hashFilter(f)):
		return sinks.Cursor{}, errOtherFilters
	}
	return c, nil
}

// hashFilter leaves IdleSince out: it moves with the clock, and the pages of one listing are asked for one by one.
func hashFilter(f sinks.Filter) []byte {
	return hashFilters([]string{f.CampaignID, f.RunID, f.Phase, string(f.Status)}, f.Since, f.Until)
}

func hashFilters(texts []string, times ...time.Time) []byte {
	h := sha256.New()
	for _, s := range texts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	for _, t := range times {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(t.UnixMicro())))
	}
	return h.Sum(nil)[:filterHashSize]
}
