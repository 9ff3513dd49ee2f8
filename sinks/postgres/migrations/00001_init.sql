-- +goose Up

-- Text is stored as UTF-8 only: in another encoding the database would refuse names that the contract allows.
-- +goose StatementBegin
DO $$
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the database has encoding %, runmetrics needs UTF8', current_setting('server_encoding')
            USING ERRCODE = 'feature_not_supported';
    END IF;
END $$;
-- +goose StatementEnd

-- The identity of this database; a copy has the same.
CREATE TABLE ledger (
    id uuid NOT NULL PRIMARY KEY
);

INSERT INTO ledger (id) VALUES (gen_random_uuid());

-- How far each stream was read, one row for each of its timelines; the newest epoch is the current one.
CREATE TABLE stream_positions (
    stream       text COLLATE "C" NOT NULL,
    epoch        bigint           NOT NULL CHECK (epoch > 0),
    created      text             NOT NULL, -- RFC 3339 with nanoseconds, as the server compares them
    sequence     bigint           NOT NULL CHECK (sequence >= 0),
    message_time text,                      -- likewise
    applied      bigint           NOT NULL CHECK (applied >= 0),
    duplicates   bigint           NOT NULL CHECK (duplicates >= 0),
    dead_letters bigint           NOT NULL CHECK (dead_letters >= 0),
    gone         bigint           NOT NULL CHECK (gone >= 0),
    updated_at   timestamptz      NOT NULL,
    PRIMARY KEY (stream, epoch),
    CHECK (sequence = applied + duplicates + dead_letters + gone)
);

-- One row for each run. Room is left in each page, so that an update that touches no index stays in it: of 1,000 runs
-- updated 39 times 94 % did, against 12 % without, and the table with its indexes had 1.4 MB instead of 9.7 MB.
CREATE TABLE campaign_metrics (
    run_key           uuid             NOT NULL PRIMARY KEY,
    campaign_id       text COLLATE "C" NOT NULL,
    run_id            text COLLATE "C" NOT NULL,
    phase             text COLLATE "C" NOT NULL,
    status            text             NOT NULL CHECK (status IN ('running', 'completed', 'failed', 'cancelled')),
    source            text             NOT NULL CHECK (source IN ('events', 'reported')),
    agents_total      bigint           NOT NULL,
    agents_successful bigint           NOT NULL,
    agents_failed     bigint           NOT NULL,
    agents_cancelled  bigint,
    agents_running    bigint,
    agents_missing    bigint,
    agents_expected   bigint,
    executions        bigint,
    assets_generated  bigint           NOT NULL,
    tokens_in         bigint           NOT NULL,
    tokens_out        bigint           NOT NULL,
    cost_usd          numeric(38, 9)   NOT NULL,
    cost_complete     boolean          NOT NULL,
    latency_avg_ms    bigint,
    latency_p50_ms    bigint,
    latency_p95_ms    bigint,
    latency_p99_ms    bigint,
    latency_max_ms    bigint,
    success_rate      numeric(5, 2),
    created_at        timestamptz      NOT NULL,
    finished_at       timestamptz,
    updated_at        timestamptz      NOT NULL,
    version           bigint           NOT NULL CHECK (version > 0)
) WITH (fillfactor = 80);

CREATE INDEX campaign_metrics_newest ON campaign_metrics (created_at DESC, run_key DESC);
CREATE INDEX campaign_metrics_names ON campaign_metrics (campaign_id, run_id, phase);

-- The events that one commit applied to one run, as a JSON array. An execution is an array of columns, which the view
-- agent_runs names; any other event is the object that came over the wire.
CREATE TABLE event_chunks (
    run_key uuid   NOT NULL,
    version bigint NOT NULL, -- of the run, which the commit made
    events  text   NOT NULL,
    PRIMARY KEY (run_key, version)
);

-- The ids that voids name, whether the event came before, came after or never came.
CREATE TABLE voided_events (
    run_key  uuid             NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (run_key, event_id)
);

CREATE TABLE dead_letters (
    stream      text COLLATE "C" NOT NULL,
    epoch       bigint           NOT NULL,
    sequence    bigint           NOT NULL,
    subject     text             NOT NULL,
    campaign_id text COLLATE "C" NOT NULL,
    run_id      text COLLATE "C" NOT NULL,
    reason      text             NOT NULL,
    field       text             NOT NULL,
    detail      text             NOT NULL,
    time        timestamptz      NOT NULL,
    payload     bytea            NOT NULL,
    PRIMARY KEY (stream, epoch, sequence)
);

CREATE INDEX dead_letters_run ON dead_letters (campaign_id, run_id);

-- How many dead letters have a row, and beyond the limit how many have none and between which sequences they lie.
CREATE TABLE dead_letter_counts (
    stream        text COLLATE "C" NOT NULL,
    reason        text COLLATE "C" NOT NULL,
    kept          bigint           NOT NULL,
    dropped       bigint           NOT NULL,
    first_dropped bigint,
    last_dropped  bigint,
    PRIMARY KEY (stream, reason)
);

-- Which version of a run its copy elsewhere has.
CREATE TABLE dataverse_outbox (
    run_key   uuid        NOT NULL PRIMARY KEY,
    version   bigint      NOT NULL,
    delivered bigint      NOT NULL DEFAULT 0,
    marked_at timestamptz NOT NULL -- when the oldest version that was not delivered was committed
);

CREATE INDEX dataverse_outbox_undelivered ON dataverse_outbox (marked_at, run_key) WHERE version > delivered;

-- Moves a stream's position from where its reader left it to next, or refuses with RM001. Whoever comes second waits for
-- the row lock, and each statement below sees what was committed while it waited.
-- +goose StatementBegin
CREATE FUNCTION advance_position(prev_epoch bigint, prev_sequence bigint, next stream_positions) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    found_sequence bigint;
BEGIN
    IF next.epoch <= 0 OR next.epoch NOT IN (prev_epoch, prev_epoch + 1) THEN
        RAISE EXCEPTION 'epoch % cannot follow %', next.epoch, prev_epoch USING ERRCODE = 'invalid_parameter_value';
    END IF;

    SELECT p.sequence INTO found_sequence FROM stream_positions p
    WHERE p.stream = next.stream AND p.epoch = prev_epoch FOR UPDATE;

    IF coalesce(found_sequence, 0) <> prev_sequence
        OR found_sequence IS NULL AND prev_epoch > 0
        OR EXISTS (SELECT FROM stream_positions p WHERE p.stream = next.stream AND p.epoch > prev_epoch) THEN
        RAISE EXCEPTION 'the position moved' USING ERRCODE = 'RM001';
    END IF;

    IF next.epoch > prev_epoch THEN
        INSERT INTO stream_positions SELECT next.*;
    ELSE
        UPDATE stream_positions p
        SET created = next.created, sequence = next.sequence, message_time = next.message_time, applied = next.applied,
            duplicates = next.duplicates, dead_letters = next.dead_letters, gone = next.gone,
            updated_at = next.updated_at
        WHERE p.stream = next.stream AND p.epoch = next.epoch;
    END IF;
END $$;
-- +goose StatementEnd

-- Refuses with RM002 where runs got another version than the one that their writer expected, and names all of them.
-- +goose StatementBegin
CREATE FUNCTION expect_versions(run_keys uuid[], expected bigint[], got bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF expected IS DISTINCT FROM got THEN
        RAISE EXCEPTION 'runs are at another version' USING ERRCODE = 'RM002', DETAIL = (
            SELECT string_agg(v.run_key::text, ',') FROM unnest(run_keys, expected, got) v (run_key, expected, got)
            WHERE v.expected IS DISTINCT FROM v.got);
    END IF;
END $$;
-- +goose StatementEnd

-- One row for each execution that counts.
CREATE VIEW agent_runs AS
SELECT m.run_key, m.campaign_id, m.run_id, m.phase,
       e ->> 0 AS id,
       e ->> 1 AS agent_id,
       (e ->> 2)::bigint AS attempt,
       e ->> 3 AS status,
       timestamptz 'epoch' + (e ->> 4)::bigint * interval '1 microsecond' AS occurred_at,
       (e ->> 5)::bigint AS latency_ms,
       (e ->> 6)::bigint AS tokens_in,
       (e ->> 7)::bigint AS tokens_out,
       (e ->> 8)::bigint AS assets_generated,
       ((e ->> 9)::numeric / 1000000000)::numeric(38, 9) AS cost_usd,
       (e ->> 9)::bigint AS cost_nanos,
       coalesce(e ->> 10, '') AS agent_name,
       coalesce(e ->> 11, '') AS model,
       coalesce(e ->> 12, '') AS error
FROM campaign_metrics m
JOIN event_chunks c ON c.run_key = m.run_key
CROSS JOIN LATERAL jsonb_array_elements(c.events::jsonb) e
WHERE jsonb_typeof(e) = 'array'
  AND NOT EXISTS (SELECT FROM voided_events v WHERE v.run_key = m.run_key AND v.event_id = e ->> 0);

-- One row for each other event that counts. A void cannot be voided.
CREATE VIEW run_events AS
SELECT m.run_key, m.campaign_id, m.run_id, m.phase,
       e ->> 'id' AS id,
       e ->> 'type' AS type,
       (e ->> 'occurredAt')::timestamptz AS occurred_at,
       e ->> 'agentId' AS agent_id,
       (e ->> 'agentsExpected')::bigint AS agents_expected,
       e ->> 'outcome' AS outcome
FROM campaign_metrics m
JOIN event_chunks c ON c.run_key = m.run_key
CROSS JOIN LATERAL jsonb_array_elements(c.events::jsonb) e
WHERE jsonb_typeof(e) = 'object'
  AND (e ->> 'type' = 'executions.voided'
       OR NOT EXISTS (SELECT FROM voided_events v WHERE v.run_key = m.run_key AND v.event_id = e ->> 'id'));
