-- +goose Up

-- The identity of this database; a copy has the same.
CREATE TABLE ledger (
    id TEXT NOT NULL PRIMARY KEY
) STRICT;

-- A random UUID, version 4.
INSERT INTO ledger (id)
SELECT lower(substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-4' || substr(h, 14, 3) || '-'
             || substr('89ab', 1 + (random() & 3), 1) || substr(h, 18, 3) || '-' || substr(h, 21, 12))
FROM (SELECT hex(randomblob(16)) AS h);

-- How far each stream was read, one row for each of its timelines; the newest epoch is the current one.
CREATE TABLE stream_positions (
    stream       TEXT    NOT NULL,
    epoch        INTEGER NOT NULL CHECK (epoch > 0),
    created      TEXT    NOT NULL, -- RFC 3339 with nanoseconds, as the server compares them
    sequence     INTEGER NOT NULL CHECK (sequence >= 0),
    message_time TEXT,             -- likewise
    applied      INTEGER NOT NULL CHECK (applied >= 0),
    duplicates   INTEGER NOT NULL CHECK (duplicates >= 0),
    dead_letters INTEGER NOT NULL CHECK (dead_letters >= 0),
    gone         INTEGER NOT NULL CHECK (gone >= 0),
    updated_at   TEXT    NOT NULL,
    PRIMARY KEY (stream, epoch),
    CHECK (sequence = applied + duplicates + dead_letters + gone)
) STRICT, WITHOUT ROWID;

-- One row for each run. Times are RFC 3339 in UTC with six fraction digits, so they sort as text.
CREATE TABLE campaign_metrics (
    run_key           TEXT    NOT NULL PRIMARY KEY,
    campaign_id       TEXT    NOT NULL,
    run_id            TEXT    NOT NULL,
    phase             TEXT    NOT NULL,
    status            TEXT    NOT NULL CHECK (status IN ('running', 'completed', 'failed', 'cancelled')),
    source            TEXT    NOT NULL CHECK (source IN ('events', 'reported')),
    agents_total      INTEGER NOT NULL,
    agents_successful INTEGER NOT NULL,
    agents_failed     INTEGER NOT NULL,
    agents_cancelled  INTEGER,
    agents_running    INTEGER,
    agents_missing    INTEGER,
    agents_expected   INTEGER,
    executions        INTEGER,
    assets_generated  INTEGER NOT NULL,
    tokens_in         INTEGER NOT NULL,
    tokens_out        INTEGER NOT NULL,
    cost_usd          TEXT    NOT NULL, -- an exact decimal
    cost_complete     INTEGER NOT NULL CHECK (cost_complete IN (0, 1)),
    latency_avg_ms    INTEGER,
    latency_p50_ms    INTEGER,
    latency_p95_ms    INTEGER,
    latency_p99_ms    INTEGER,
    latency_max_ms    INTEGER,
    success_rate      REAL,             -- two decimals
    created_at        TEXT    NOT NULL,
    finished_at       TEXT,
    updated_at        TEXT    NOT NULL,
    version           INTEGER NOT NULL CHECK (version > 0)
) STRICT;

CREATE INDEX campaign_metrics_newest ON campaign_metrics (created_at DESC, run_key DESC);
CREATE INDEX campaign_metrics_names ON campaign_metrics (campaign_id, run_id, phase);

-- The events that one commit applied to one run, as a JSON array. An execution is an array of columns, which the view
-- agent_runs names; any other event is the object that came over the wire.
CREATE TABLE event_chunks (
    run_key TEXT    NOT NULL,
    version INTEGER NOT NULL, -- of the run, which the commit made
    events  TEXT    NOT NULL,
    PRIMARY KEY (run_key, version)
) STRICT;

-- The ids that voids name, whether the event came before, came after or never came.
CREATE TABLE voided_events (
    run_key  TEXT NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (run_key, event_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letters (
    stream      TEXT    NOT NULL,
    epoch       INTEGER NOT NULL,
    sequence    INTEGER NOT NULL,
    subject     TEXT    NOT NULL,
    campaign_id TEXT    NOT NULL,
    run_id      TEXT    NOT NULL,
    reason      TEXT    NOT NULL,
    field       TEXT    NOT NULL,
    detail      TEXT    NOT NULL,
    time        TEXT    NOT NULL,
    payload     BLOB    NOT NULL,
    PRIMARY KEY (stream, epoch, sequence)
) STRICT;

CREATE INDEX dead_letters_run ON dead_letters (campaign_id, run_id);

-- How many dead letters have a row, and beyond the limit how many have none and between which sequences they lie.
CREATE TABLE dead_letter_counts (
    stream        TEXT    NOT NULL,
    reason        TEXT    NOT NULL,
    kept          INTEGER NOT NULL,
    dropped       INTEGER NOT NULL,
    first_dropped INTEGER,
    last_dropped  INTEGER,
    PRIMARY KEY (stream, reason)
) STRICT, WITHOUT ROWID;

-- Which version of a run its copy elsewhere has.
CREATE TABLE dataverse_outbox (
    run_key   TEXT    NOT NULL PRIMARY KEY,
    version   INTEGER NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0,
    marked_at TEXT    NOT NULL -- when the oldest version that was not delivered was committed
) STRICT, WITHOUT ROWID;

CREATE INDEX dataverse_outbox_undelivered ON dataverse_outbox (marked_at, run_key) WHERE version > delivered;

-- One row for each execution that counts.
CREATE VIEW agent_runs AS
SELECT m.run_key, m.campaign_id, m.run_id, m.phase,
       e.value ->> 0 AS id,
       e.value ->> 1 AS agent_id,
       e.value ->> 2 AS attempt,
       e.value ->> 3 AS status,
       strftime('%Y-%m-%dT%H:%M:%S', (e.value ->> 4) / 1000000, 'unixepoch')
           || printf('.%06dZ', (e.value ->> 4) % 1000000) AS occurred_at,
       e.value ->> 5 AS latency_ms,
       e.value ->> 6 AS tokens_in,
       e.value ->> 7 AS tokens_out,
       e.value ->> 8 AS assets_generated,
       (e.value ->> 9) / 1e9 AS cost_usd, -- to look at; add up cost_nanos
       e.value ->> 9 AS cost_nanos,
       coalesce(e.value ->> 10, '') AS agent_name,
       coalesce(e.value ->> 11, '') AS model,
       coalesce(e.value ->> 12, '') AS error
FROM campaign_metrics m
JOIN event_chunks c ON c.run_key = m.run_key
JOIN json_each(c.events) e
WHERE e.type = 'array'
  AND NOT EXISTS (SELECT 1 FROM voided_events v WHERE v.run_key = m.run_key AND v.event_id = e.value ->> 0);

-- One row for each other event that counts. A void cannot be voided.
CREATE VIEW run_events AS
SELECT m.run_key, m.campaign_id, m.run_id, m.phase,
       e.value ->> 'id' AS id,
       e.value ->> 'type' AS type,
       substr(e.value ->> 'occurredAt', 1, 19)
           || '.' || substr(rtrim(substr(e.value ->> 'occurredAt', 21), 'Z') || '000000', 1, 6) || 'Z' AS occurred_at,
       e.value ->> 'agentId' AS agent_id,
       e.value ->> 'agentsExpected' AS agents_expected,
       e.value ->> 'outcome' AS outcome
FROM campaign_metrics m
JOIN event_chunks c ON c.run_key = m.run_key
JOIN json_each(c.events) e
WHERE e.type = 'object'
  AND (e.value ->> 'type' = 'executions.voided'
       OR NOT EXISTS (SELECT 1 FROM voided_events v WHERE v.run_key = m.run_key AND v.event_id = e.value ->> 'id'));
