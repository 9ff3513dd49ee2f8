package sinks

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// What a store's error means for its caller. Stores wrap them: test with errors.Is.
var (
	// ErrPositionMoved: somebody else committed to this stream, or the store was restored. Nothing was stored.
	ErrPositionMoved = errors.New("the stream's position was moved by another reader")
	// ErrUnavailable: the store is away, starting, full or busy. Whether a commit was stored is open.
	ErrUnavailable = errors.New("store unavailable")
	// ErrBlocked: the store answers, but refuses us until a person acts: password, rights, schema. Nothing was stored.
	ErrBlocked = errors.New("store blocked")
	// ErrRefused: the store refuses a value of this batch for its content. Nothing was stored.
	ErrRefused = errors.New("value refused by the store")
	// ErrSchema: the schema is older or newer than this program. It is always wrapped together with ErrBlocked.
	ErrSchema = errors.New("schema does not fit this version")
)

// VersionConflict says that runs are not at the version on which the batch was folded: they were not in memory and
// are in the store, or somebody else wrote them. Nothing was stored.
type VersionConflict struct {
	Runs []uuid.UUID // all of the batch that conflict, never empty
}

// Error counts the runs; their names are untrusted text.
func (c *VersionConflict) Error() string {
	return fmt.Sprintf("%d runs are at another version", len(c.Runs))
}
