package query

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"unicode/utf8"
)

// agentPlace is a place among the agents of a run: behind this one of this phase.
type agentPlace struct{ phase, agentID string }

// A cursor among agents is base64url of: version, a hash of the run's names, the length of the phase, phase and agent id.
const (
	agentCursorVersion = 2
	agentCursorHead    = 1 + filterHashSize + 1
)

func encodeAgentCursor(p agentPlace, campaignID, runID string) string {
	b := append([]byte{agentCursorVersion}, hashRun(campaignID, runID)...)
	b = append(b, byte(len(p.phase))) // at most 48 bytes
	b = append(append(b, p.phase...), p.agentID...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// decodeAgentCursor reads what encodeAgentCursor wrote for the same run. Its errors are errCursor and errOtherFilters.
func decodeAgentCursor(s, campaignID, runID string) (agentPlace, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < agentCursorHead || b[0] != agentCursorVersion {
		return agentPlace{}, errCursor
	}
	run, length, names := b[1:1+filterHashSize], int(b[agentCursorHead-1]), b[agentCursorHead:]
	if length > len(names) || !utf8.Valid(names[:length]) || !utf8.Valid(names[length:]) {
		return agentPlace{}, errCursor
	}
	if string(run) != string(hashRun(campaignID, runID)) {
		return agentPlace{}, errOtherFilters
	}
	return agentPlace{string(names[:length]), string(names[length:])}, nil
}

func hashRun(campaignID, runID string) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(len(campaignID)))
	h := sha256.Sum256(append(append(b, campaignID...), runID...))
	return h[:filterHashSize]
}
