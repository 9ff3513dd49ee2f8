-- +goose Up

-- When the executions of a closed run were dropped. Its metrics stay as they are from then on, and no event changes them.
ALTER TABLE campaign_metrics ADD COLUMN sealed_at TEXT;

-- What became of a dead letter that somebody dealt with: published again, or given up. Its row stays until it is pruned, but
-- counts no more: dead_letter_counts.kept is without it.
ALTER TABLE dead_letters ADD COLUMN resolved_at TEXT;
ALTER TABLE dead_letters ADD COLUMN resolution TEXT CHECK ((resolved_at IS NULL) = (resolution IS NULL));

-- Who changed what is stored by other means than events: one row for each call of a command.
CREATE TABLE audit_log (
    id        TEXT NOT NULL PRIMARY KEY,
    command   TEXT NOT NULL,
    arguments TEXT NOT NULL, -- as they were given
    who       TEXT NOT NULL, -- user and machine
    began_at  TEXT NOT NULL,
    ended_at  TEXT,          -- NULL while it goes on, and for ever if it was killed
    outcome   TEXT NOT NULL CHECK (outcome IN ('running', 'done', 'interrupted', 'failed')),
    counts    TEXT NOT NULL  -- a JSON object
) STRICT;

CREATE INDEX audit_log_newest ON audit_log (began_at DESC);
