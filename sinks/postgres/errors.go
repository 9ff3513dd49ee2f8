package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/apexsalesai/runmetrics/sinks"
)

// SQLSTATEs of our own, raised by the schema's functions.
const (
	positionMoved   = "RM001"
	versionConflict = "RM002"
)

// uniqueViolation is the SQLSTATE of a row that is there already.
const uniqueViolation = "23505"

// readOnly is the SQLSTATE of a server or session that takes no writes.
const readOnly = "25006"

// failed wraps an error of the database with what was being done and what it means for the caller. The text holds
// neither SQL nor the address with its password.
func failed(doing string, err error) error {
	if err == nil {
		return nil
	}
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		var conflict *sinks.VersionConflict
		if errors.Is(err, sinks.ErrBlocked) || errors.Is(err, sinks.ErrPositionMoved) || errors.As(err, &conflict) {
			return fmt.Errorf("%s: %w", doing, err)
		}
		return fmt.Errorf("%s: %w: %w", doing, sinks.ErrUnavailable, bare(err))
	}
	switch {
	case answer.Code == positionMoved:
		return fmt.Errorf("%s: %w", doing, sinks.ErrPositionMoved)
	case answer.Code == versionConflict:
		return fmt.Errorf("%s: %w", doing, conflictOf(answer))
	case answer.Code == uniqueViolation:
		// The rows that a commit inserts are its own. Somebody else's copy of them means that the same step was taken
		// elsewhere, perhaps by our own backend whose client was given up.
		return fmt.Errorf("%s: %w", doing, sinks.ErrPositionMoved)
	}
	meaning := meaningOf(answer)
	if schemaCodes[answer.Code] {
		return fmt.Errorf("%s: %w: %w: %w; run `runmetrics setup`, and where it finds nothing to do, undo what was "+
			"changed by hand", doing, meaning, sinks.ErrSchema, answer)
	}
	return fmt.Errorf("%s: %w: %w%s", doing, meaning, answer, advice(answer))
}

// bare says in plain words that the connection was lost or that nothing was answered in time. It takes off what names user
// and database of a connection that was not made, and folds its lines into one.
func bare(err error) error {
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return &connectError{connect.Unwrap()}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer in time: %w", err)
	}
	var network *net.OpError
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network) {
		return fmt.Errorf("connection lost: %w", err)
	}
	return err
}

type connectError struct{ err error }

func (e *connectError) Error() string {
	return "connect: " + strings.Join(strings.Fields(e.err.Error()), " ")
}

func (e *connectError) Unwrap() error { return e.err }

// schemaCodes are the errors of a schema that is not ours: no such table, column, function or type.
var schemaCodes = map[string]bool{"42P01": true, "42703": true, "42883": true, "42704": true}

// meaningOf tells what an answer of the server means by its SQLSTATE. What is not known is for a person.
func meaningOf(answer *pgconn.PgError) error {
	switch answer.Code {
	case "08P01":
		// PgBouncer gives this code to all that it says by itself; most of it passes.
		if strings.Contains(answer.Message, "startup parameter") {
			return sinks.ErrBlocked
		}
		return sinks.ErrUnavailable
	case readOnly: // fail-over
		return sinks.ErrUnavailable
	}
	switch answer.Code[:2] {
	case "08", // connection
		"40", // rolled back: serialization, deadlock
		"53", // out of disk, memory or connections
		"55", // locked or in use
		"57", // cancelled or shutting down
		"58", // I/O
		"XX": // internal
		return sinks.ErrUnavailable
	case "22", "23": // data, constraint
		return sinks.ErrRefused
	}
	return sinks.ErrBlocked
}

// advice says what to do where the server's words do not.
func advice(answer *pgconn.PgError) string {
	switch answer.Code {
	case readOnly:
		return "; after a fail-over the database URL must lead to the new primary"
	case "28000", "28P01": // no such role, or wrong password
		return "; mend the role or its password, or correct the database URL and start again"
	case "3D000": // no such database
		return "; create it, or correct the database URL and start again"
	case "42501": // a missing right
		return "; grant the user of the database URL the right to read and write this program's tables"
	case "53300": // too many connections
		return "; end others, raise the limit, or go through a pooler"
	case "26000", "42P05": // a prepared statement that is missing, or there already
		return "; behind a pooler, add default_query_exec_mode=cache_describe to the URL"
	case "08P01":
		if strings.Contains(answer.Message, "startup parameter") {
			return "; the pooler takes none, use ALTER ROLE … SET instead"
		}
	}
	return ""
}

// conflictOf reads the run keys that the schema's function put into the detail.
func conflictOf(answer *pgconn.PgError) error {
	var conflict sinks.VersionConflict
	for text := range strings.SplitSeq(answer.Detail, ",") {
		key, err := uuid.Parse(text)
		if err != nil {
			return fmt.Errorf("%w: %w: a version conflict names no run", sinks.ErrBlocked, sinks.ErrSchema)
		}
		conflict.Runs = append(conflict.Runs, key)
	}
	return &conflict
}
