package publish

import (
	"strconv"
	"unicode/utf16"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/events"
)

// executionID is the id of an agent.finished event: <agentId>/<attempt>, and where that is too long its UUIDv5 in the
// namespace of the run key. It is the same whoever makes it, so that a runtime which crashes and tells of an execution
// again counts its money once.
func executionID(key events.Key, agentID string, attempt int64) string {
	id := agentID + "/" + strconv.FormatInt(attempt, 10)
	if len(id) > events.MaxID && len(utf16.Encode([]rune(id))) > events.MaxID {
		return uuid.NewSHA1(key.UUID(), []byte(id)).String()
	}
	return id
}
