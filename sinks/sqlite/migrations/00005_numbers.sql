-- +goose Up

-- Each run has a number, counted up in the order in which runs came. Its key is a hash and its id is random as a rule, so an
-- index by either takes each new run at a place of its own; one by number takes them all at its end. With a million runs
-- stored that is most of what a new run costs (docs/performance.md, Growth). Only the key's own index stays random: it is how a
-- run is known to be new.
DROP VIEW agent_runs;
DROP VIEW run_events;

CREATE TABLE numbered_metrics (
    number            INTEGER PRIMARY KEY AUTOINCREMENT, -- of a deleted run, nobody else has it
    run_key           TEXT    NOT NULL UNIQUE,
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
    version           INTEGER NOT NULL CHECK (version > 0),
    sealed_at         TEXT,             -- when its events were dropped; nothing changes the row any more
    latencies         BLOB              -- of a sealed run, as in event_chunks
) STRICT;

INSERT INTO numbered_metrics
SELECT rowid, run_key, campaign_id, run_id, phase, status, source, agents_total, agents_successful, agents_failed,
    agents_cancelled, agents_running, agents_missing, agents_expected, executions, assets_generated, tokens_in, tokens_out,
    cost_usd, cost_complete, latency_avg_ms, latency_p50_ms, latency_p95_ms, latency_p99_ms, latency_max_ms, success_rate,
    created_at, finished_at, updated_at, version, sealed_at, latencies
FROM campaign_metrics ORDER BY rowid;

-- The numbers of runs whose rows were deleted by hand while their events stayed: the events are found by them, and a run that
-- comes back has its number again.
CREATE TABLE deleted_runs (
    run_key TEXT    NOT NULL PRIMARY KEY,
    number  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO deleted_runs (run_key, number)
SELECT run_key, (SELECT coalesce(max(number), 0) FROM numbered_metrics) + row_number() OVER (ORDER BY run_key) FROM (
    SELECT DISTINCT run_key FROM event_chunks WHERE run_key NOT IN (SELECT run_key FROM campaign_metrics));

-- No number of those is given to another run.
UPDATE sqlite_sequence SET seq = max(seq, (SELECT coalesce(max(number), 0) FROM deleted_runs)) WHERE name = 'numbered_metrics';
INSERT INTO sqlite_sequence (name, seq)
SELECT 'numbered_metrics', max(number) FROM deleted_runs
WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'numbered_metrics') HAVING max(number) IS NOT NULL;

CREATE TABLE numbered_chunks (
    number    INTEGER NOT NULL, -- of the run
    version   INTEGER NOT NULL, -- of the run, which the commit made
    events    TEXT    NOT NULL,
    latencies BLOB,             -- what the commit changed in them, NULL where nobody knows
    PRIMARY KEY (number, version)
) STRICT;

INSERT INTO numbered_chunks
SELECT coalesce(m.number, d.number), c.version, c.events, c.latencies
FROM event_chunks c LEFT JOIN numbered_metrics m ON m.run_key = c.run_key LEFT JOIN deleted_runs d ON d.run_key = c.run_key
ORDER BY 1, 2;

DROP TABLE event_chunks;
DROP TABLE campaign_metrics;
ALTER TABLE numbered_metrics RENAME TO campaign_metrics;
ALTER TABLE numbered_chunks RENAME TO event_chunks;

-- A run by its id alone, and the runs of a campaign. Each 16,384 runs have a part of each index of their own, so that new ones go
-- into a megabyte of it whatever is stored; a question goes through the parts, of which a million runs have 62. An update writes
-- every index anew that has a column which it sets, changed or not, so filters by status and phase have none: with indexes for
-- them the pipeline committed 46,000 events/s, without them 60,000.
CREATE INDEX campaign_metrics_newest ON campaign_metrics (created_at DESC, run_key DESC);
CREATE INDEX campaign_metrics_campaign ON campaign_metrics (number >> 14, campaign_id);
CREATE INDEX campaign_metrics_run ON campaign_metrics (number >> 14, run_id, campaign_id, phase);

-- +goose StatementBegin
CREATE TRIGGER keep_number AFTER DELETE ON campaign_metrics
WHEN EXISTS (SELECT 1 FROM event_chunks WHERE number = old.number)
BEGIN
    INSERT OR REPLACE INTO deleted_runs (run_key, number) VALUES (old.run_key, old.number);
END;
-- +goose StatementEnd

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
JOIN event_chunks c ON c.number = m.number
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
JOIN event_chunks c ON c.number = m.number
JOIN json_each(c.events) e
WHERE e.type = 'object'
  AND (e.value ->> 'type' = 'executions.voided'
       OR NOT EXISTS (SELECT 1 FROM voided_events v WHERE v.run_key = m.run_key AND v.event_id = e.value ->> 'id'));
