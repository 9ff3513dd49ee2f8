-- +goose Up

-- What is known of each run's copy elsewhere, and when a version of it is to be sent. The table of before never had a row.
DROP TABLE dataverse_outbox;

-- While a run waits, a commit changes no indexed column of its row, so the update stays in the page, which has room left.
CREATE TABLE dataverse_outbox (
    run_key         uuid        NOT NULL PRIMARY KEY,
    version         bigint      NOT NULL,               -- the newest that was marked
    closed          boolean     NOT NULL,               -- its status is not running
    delivered       bigint      NOT NULL DEFAULT 0,     -- the newest that the copy took
    sent_closed     boolean     NOT NULL DEFAULT false, -- a closed one was among those
    pending         boolean     NOT NULL,               -- it may be claimed, from due_at on
    due_at          timestamptz NOT NULL,               -- of the version that waits; of a claimed one until the next comes
    not_before      timestamptz,                        -- when the next version is due at the earliest, unless it closes
    claimed_by      uuid,
    claimed_version bigint,
    again           boolean     NOT NULL DEFAULT false, -- due at once when the claim has ended, whatever was sent
    doubt_until     timestamptz,                        -- an older request may take place until then: due once more
    parked          text,                               -- why the copy last refused it, until it takes a version
    parked_at       timestamptz,
    row_id          uuid,                               -- of the copy's row, where that is not the run key
    CHECK (NOT (pending AND claimed_by IS NOT NULL)),
    CHECK (delivered <= version),
    CHECK ((claimed_by IS NULL) = (claimed_version IS NULL)),
    CHECK ((parked IS NULL) = (parked_at IS NULL))
) WITH (fillfactor = 80);

CREATE INDEX dataverse_outbox_due ON dataverse_outbox (due_at, run_key) WHERE pending;
CREATE INDEX dataverse_outbox_closing ON dataverse_outbox (due_at, run_key) WHERE pending AND closed AND NOT sent_closed;
CREATE INDEX dataverse_outbox_claimed ON dataverse_outbox (claimed_by) WHERE claimed_by IS NOT NULL;
CREATE INDEX dataverse_outbox_parked ON dataverse_outbox (parked_at) WHERE parked_at IS NOT NULL;
CREATE INDEX dataverse_outbox_rows ON dataverse_outbox (row_id) WHERE row_id IS NOT NULL;

-- How many rows were sent on each UTC day.
CREATE TABLE dataverse_targets (
    day     date   NOT NULL PRIMARY KEY,
    targets bigint NOT NULL
);
