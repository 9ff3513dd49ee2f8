-- +goose Up

-- What is known of each run's copy elsewhere, and when a version of it is to be sent. The table of before never had a row.
DROP TABLE dataverse_outbox;

CREATE TABLE dataverse_outbox (
    run_key         TEXT    NOT NULL PRIMARY KEY,
    version         INTEGER NOT NULL,               -- the newest that was marked
    closed          INTEGER NOT NULL,               -- its status is not running
    delivered       INTEGER NOT NULL DEFAULT 0,     -- the newest that the copy took
    sent_closed     INTEGER NOT NULL DEFAULT false, -- a closed one was among those
    pending         INTEGER NOT NULL,               -- it may be claimed, from due_at on
    due_at          TEXT    NOT NULL,               -- of the version that waits; of a claimed one until the next comes
    not_before      TEXT,                           -- when the next version is due at the earliest, unless it closes
    claimed_by      TEXT,
    claimed_version INTEGER,
    again           INTEGER NOT NULL DEFAULT false, -- due at once when the claim has ended, whatever was sent
    doubt_until     TEXT,                           -- an older request may take place until then: due once more
    parked          TEXT,                           -- why the copy last refused it, until it takes a version
    parked_at       TEXT,
    row_id          TEXT,                           -- of the copy's row, where that is not the run key
    CHECK (NOT (pending AND claimed_by IS NOT NULL)),
    CHECK (delivered <= version),
    CHECK ((claimed_by IS NULL) = (claimed_version IS NULL)),
    CHECK ((parked IS NULL) = (parked_at IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX dataverse_outbox_due ON dataverse_outbox (due_at, run_key) WHERE pending;
CREATE INDEX dataverse_outbox_closing ON dataverse_outbox (due_at, run_key) WHERE pending AND closed AND NOT sent_closed;
CREATE INDEX dataverse_outbox_claimed ON dataverse_outbox (claimed_by) WHERE claimed_by IS NOT NULL;
CREATE INDEX dataverse_outbox_parked ON dataverse_outbox (parked_at) WHERE parked_at IS NOT NULL;
CREATE INDEX dataverse_outbox_rows ON dataverse_outbox (row_id) WHERE row_id IS NOT NULL;

-- How many rows were sent on each UTC day.
CREATE TABLE dataverse_targets (
    day     TEXT    NOT NULL PRIMARY KEY,
    targets INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
