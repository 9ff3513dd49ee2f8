package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/apexsalesai/runmetrics/sinks"
)

// auditTime is how long the end of a command waits for its record.
const auditTime = 5 * time.Second

// audit is the record, in the store, of a command that changes what is stored by other means than events.
type audit struct {
	store sinks.Repairs
	entry sinks.AuditEntry
}

// beginAudit writes that the command is under way, with its arguments as they were given. One that is killed leaves it so.
func beginAudit(ctx context.Context, store sinks.Repairs, command string, args []string) (*audit, error) {
	a := &audit{store: store, entry: sinks.AuditEntry{ID: uuid.New(), Command: command, Arguments: commandLine(args), Who: caller(),
		Began: time.Now().UTC(), Outcome: sinks.AuditRunning, Counts: "{}"}}
	if err := store.Audit(ctx, a.entry); err != nil {
		return nil, fmt.Errorf("nothing was changed: %w", err)
	}
	return a, nil
}

// end replaces the record: err is how the work ended, also that of its context, and counts says in JSON what it did. It
// returns err, and what went wrong with the record.
func (a *audit) end(counts any, err error) error {
	a.entry.Ended = time.Now().UTC()
	switch {
	case err == nil, errors.Is(err, errLeftovers):
		a.entry.Outcome = sinks.AuditDone
	case errors.Is(err, context.Canceled):
		a.entry.Outcome = sinks.AuditInterrupted
	default:
		a.entry.Outcome = sinks.AuditFailed
	}
	text, failed := json.Marshal(counts)
	if failed != nil {
		return errors.Join(err, failed)
	}
	a.entry.Counts = string(text)
	ctx, cancel := context.WithTimeout(context.Background(), auditTime)
	defer cancel()
	if failed := a.store.Audit(ctx, a.entry); failed != nil {
		return errors.Join(err, failed)
	}
	return err
}

// plainArgument is one that a shell takes for one word as it stands.
var plainArgument = regexp.MustCompile(`^[A-Za-z0-9_./:=,@%+-]+$`)

// commandLine is arguments as they can be typed.
func commandLine(args []string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		if words[i] = arg; !plainArgument.MatchString(arg) {
			words[i] = shellQuoted(arg)
		}
	}
	return strings.Join(words, " ")
}

// caller is who runs this program, and where.
func caller() string {
	name := strconv.Itoa(os.Getuid())
	if who, err := user.Current(); err == nil {
		name = who.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return name + "@" + host
}
