-- +goose Up

-- Each run has a number, counted up in the order in which runs came. Its key is a hash and its id is random as a rule, so an
-- index by either takes each new run at a place of its own; one by number takes them all at its end. With ten million runs
-- stored that is most of what a new run costs the server (docs/performance.md, Growth). Only the key's own index stays random:
-- it is how a run is known to be new.
CREATE SEQUENCE run_numbers;

-- Who may write runs may give them numbers.
-- +goose StatementBegin
DO $$
DECLARE
    writer regrole;
BEGIN
    FOR writer IN
        SELECT DISTINCT a.grantee::regrole FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = 'campaign_metrics'::regclass AND a.privilege_type = 'INSERT' AND a.grantee <> 0
    LOOP
        EXECUTE format('GRANT UPDATE ON SEQUENCE run_numbers TO %s', writer);
    END LOOP;
END $$;
-- +goose StatementEnd

ALTER TABLE campaign_metrics ADD COLUMN number bigint NOT NULL DEFAULT nextval('run_numbers');
ALTER TABLE campaign_metrics ADD UNIQUE (number);
ALTER SEQUENCE run_numbers OWNED BY campaign_metrics.number;

-- The numbers of runs whose rows were deleted by hand while their events stayed: the events are found by them, and a run that
-- comes back has its number again.
CREATE TABLE deleted_runs (
    run_key uuid   NOT NULL PRIMARY KEY,
    number  bigint NOT NULL
);

INSERT INTO deleted_runs (run_key, number)
SELECT run_key, nextval('run_numbers') FROM (
    SELECT DISTINCT run_key FROM event_chunks c
    WHERE NOT EXISTS (SELECT FROM campaign_metrics m WHERE m.run_key = c.run_key)) left_behind;

-- Chunks are found by their run's number from here on. The table is written anew, once, as the same table with the same rights.
-- Its views must let go of it meanwhile.
CREATE OR REPLACE VIEW agent_runs AS
SELECT m.run_key, m.campaign_id, m.run_id, m.phase, NULL::text AS id, NULL::text AS agent_id, NULL::bigint AS attempt,
       NULL::text AS status, NULL::timestamptz AS occurred_at, NULL::bigint AS latency_ms, NULL::bigint AS tokens_in,
       NULL::bigint AS tokens_out, NULL::bigint AS assets_generated, NULL::numeric(38, 9) AS cost_usd, NULL::bigint AS cost_nanos,
       NULL::text AS agent_name, NULL::text AS model, NULL::text AS error
FROM campaign_metrics m;

CREATE OR REPLACE VIEW run_events AS
SELECT m.run_key, m.campaign_id, m.run_id, m.phase, NULL::text AS id, NULL::text AS type, NULL::timestamptz AS occurred_at,
       NULL::text AS agent_id, NULL::bigint AS agents_expected, NULL::text AS outcome
FROM campaign_metrics m;

CREATE FUNCTION number_of(key uuid) RETURNS bigint LANGUAGE sql STABLE AS
    'SELECT coalesce((SELECT number FROM campaign_metrics WHERE run_key = key), (SELECT number FROM deleted_runs WHERE run_key = key))';
ALTER TABLE event_chunks ALTER COLUMN run_key TYPE bigint USING number_of(run_key);
ALTER TABLE event_chunks RENAME COLUMN run_key TO number;
DROP FUNCTION number_of;

CREATE OR REPLACE VIEW agent_runs AS
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
JOIN event_chunks c ON c.number = m.number
CROSS JOIN LATERAL jsonb_array_elements(c.events::jsonb) e
WHERE jsonb_typeof(e) = 'array'
  AND NOT EXISTS (SELECT FROM voided_events v WHERE v.run_key = m.run_key AND v.event_id = e ->> 0);

CREATE OR REPLACE VIEW run_events AS
SELECT m.run_key, m.campaign_id, m.run_id, m.phase,
       e ->> 'id' AS id,
       e ->> 'type' AS type,
       (e ->> 'occurredAt')::timestamptz AS occurred_at,
       e ->> 'agentId' AS agent_id,
       (e ->> 'agentsExpected')::bigint AS agents_expected,
       e ->> 'outcome' AS outcome
FROM campaign_metrics m
JOIN event_chunks c ON c.number = m.number
CROSS JOIN LATERAL jsonb_array_elements(c.events::jsonb) e
WHERE jsonb_typeof(e) = 'object'
  AND (e ->> 'type' = 'executions.voided'
       OR NOT EXISTS (SELECT FROM voided_events v WHERE v.run_key = m.run_key AND v.event_id = e ->> 'id'));

-- +goose StatementBegin
CREATE FUNCTION keep_number() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO deleted_runs (run_key, number) SELECT run_key, number FROM campaign_metrics
        ON CONFLICT (run_key) DO UPDATE SET number = excluded.number;
    ELSIF EXISTS (SELECT FROM event_chunks c WHERE c.number = old.number) THEN
        INSERT INTO deleted_runs (run_key, number) VALUES (old.run_key, old.number)
        ON CONFLICT (run_key) DO UPDATE SET number = excluded.number;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER keep_number AFTER DELETE ON campaign_metrics FOR EACH ROW EXECUTE FUNCTION keep_number();
CREATE TRIGGER keep_numbers BEFORE TRUNCATE ON campaign_metrics FOR EACH STATEMENT EXECUTE FUNCTION keep_number();

-- A run by its id alone. Each 131,072 runs have a part of the index of their own, so that new ones go into 12 MB whatever is
-- stored; a question goes through the parts, of which ten million runs have 77.
DROP INDEX campaign_metrics_run;
CREATE INDEX campaign_metrics_run ON campaign_metrics ((number >> 17), run_id, campaign_id, phase);
