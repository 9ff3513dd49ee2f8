// Package sinks is the promise that every store of metrics keeps. It holds no database code.
//
// # The transaction
//
// Commit makes one batch of one stream durable, all of it or nothing: the position, the changed runs with the events that
// changed them, dead letters and outbox marks. Two things guard it, both checked by the database inside the transaction:
// the position must still be the one that the caller read (compare-and-set), and every run must still be at the version
// on which the caller folded. A refusal of the first is ErrPositionMoved, of the second a *VersionConflict. Any other
// error leaves open whether the batch was stored, unless it is ErrRefused: the caller drops what it holds in memory,
// reads the position again and goes on from there. Nobody retries a commit blindly.
//
// Once Commit has returned nil the batch survives the loss of the process, and every later Position, Load and Reader call
// on any connection sees it. A commit may still take place after its caller has died: the guards make that harmless.
//
// Correctness rests on nothing else: not on who owns a stream, not on clocks, not on acknowledgements.
//
// # Runs that are amended
//
// Who compares what is stored with what it should be, and mends it, works beside the readers of streams: Amend guards each run
// by its version as Commit does, and moves no position. See Repairs; Letters is for those who deal with dead letters.
//
// # The outbox
//
// A store that was opened with marks notes in the same transaction which runs have a version that their copy elsewhere
// lacks. See Outbox.
//
// # Errors
//
// A sink's fault is not a message's fault. Every error of a store is one of ErrUnavailable (away: try again with
// back-off), ErrBlocked (a person must act: try again slowly, loudly) and ErrRefused (a value of this batch is refused
// for its content); or one of the conflicts above. Stores never retry by themselves.
package sinks
