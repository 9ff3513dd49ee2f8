-- The least that each part of runmetrics may do in its database: runmetrics_owner for `runmetrics setup`,
-- runmetrics_processor for `runmetrics run` and every other command, runmetrics_reader for analysts and Grafana.
--
-- Run it as the owner of the database, who must be allowed to make roles (neondb_owner is, on Neon), twice: before the
-- first `runmetrics setup`, and behind every `runmetrics setup` that changed the schema. It may be run any number of
-- times, and takes away again what it does not give.
--
--   psql "$ADMIN_URL" --set ON_ERROR_STOP=1 --single-transaction --file deploy/postgres-roles.sql
--
-- It sets no passwords, and without one nobody can log in. Give each role one of its own, 24 random characters or more:
--
--   ALTER ROLE runmetrics_owner PASSWORD '<password of the owner>';
--   ALTER ROLE runmetrics_processor PASSWORD '<password of the processor>';
--   ALTER ROLE runmetrics_reader PASSWORD '<password of the reader>';
--
-- On Neon make these roles here and not in its console: roles from there are members of neon_superuser, which reads and
-- writes everything. The database is taken to be runmetrics' alone: whoever else uses it loses what is revoked from PUBLIC.
-- Tried with Postgres 15, by an owner who is no superuser.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['runmetrics_owner', 'runmetrics_processor', 'runmetrics_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
        END IF;
    END LOOP;

    -- Who runs this must be able to act for the owner. From Postgres 16 on, to have made a role is not enough for that.
    EXECUTE format('GRANT runmetrics_owner TO %I', current_user);

    EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO runmetrics_owner, runmetrics_processor, runmetrics_reader', current_database());
END $$;

REVOKE ALL ON SCHEMA public FROM PUBLIC, runmetrics_processor, runmetrics_reader;
GRANT USAGE ON SCHEMA public TO runmetrics_processor, runmetrics_reader;
GRANT USAGE, CREATE ON SCHEMA public TO runmetrics_owner;

DO $$
DECLARE
    -- What the processor may do with each table, and with the sequence of runs' numbers. Nothing is deleted but by prune, by void and by deadletters.
    rights CONSTANT jsonb := '{
        "runmetrics_migrations": "SELECT",
        "ledger":                "SELECT",
        "stream_positions":      "SELECT, INSERT, UPDATE",
        "campaign_metrics":      "SELECT, INSERT, UPDATE",
        "run_numbers":           "UPDATE",
        "deleted_runs":          "SELECT",
        "event_chunks":          "SELECT, INSERT, DELETE",
        "voided_events":         "SELECT, INSERT, DELETE",
        "dead_letters":          "SELECT, INSERT, UPDATE, DELETE",
        "dead_letter_counts":    "SELECT, INSERT, UPDATE",
        "dataverse_outbox":      "SELECT, INSERT, UPDATE",
        "dataverse_targets":     "SELECT, INSERT, UPDATE",
        "audit_log":             "SELECT, INSERT, UPDATE"
    }';
    -- What analysts may read: figures and executions. Not what did not become an event, nor who changed what.
    readable CONSTANT text[] := ARRAY['campaign_metrics', 'agent_runs'];
    thing record;
BEGIN
    IF to_regclass('public.runmetrics_migrations') IS NULL THEN
        RAISE NOTICE 'there are no tables yet: run `runmetrics setup` as runmetrics_owner, then this once more';
        RETURN;
    END IF;

    -- A database from before these roles: its tables, views and functions become the owner's.
    FOR thing IN
        SELECT format('ALTER %s public.%I OWNER TO runmetrics_owner',
            CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, relname) AS statement
        FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND pg_get_userbyid(relowner) <> 'runmetrics_owner' AND relkind IN ('r', 'v')
            AND (rights ? relname OR relname IN ('runmetrics_migrations_lock', 'agent_runs', 'run_events'))
        UNION ALL
        SELECT format('ALTER FUNCTION %s OWNER TO runmetrics_owner', oid::regprocedure)
        FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND pg_get_userbyid(proowner) <> 'runmetrics_owner'
            AND proname IN ('advance_position', 'expect_versions', 'keep_number')
    LOOP
        EXECUTE thing.statement;
    END LOOP;

    -- Exactly these, whatever was granted before. A sequence has the owner of its table.
    FOR thing IN
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'S') AND pg_get_userbyid(relowner) = 'runmetrics_owner'
    LOOP
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC, runmetrics_processor, runmetrics_reader', thing.relname);
        IF rights ? thing.relname THEN
            EXECUTE format('GRANT %s ON public.%I TO runmetrics_processor', rights ->> thing.relname, thing.relname);
        END IF;
        IF thing.relname = ANY (readable) THEN
            EXECUTE format('GRANT SELECT ON public.%I TO runmetrics_reader', thing.relname);
        END IF;
    END LOOP;

    -- A table of a later version is the processor's to use from the migration on that makes it, so that an upgrade does
    -- not wait for this file. Run again, it narrows that down. The reader gets nothing new by itself.
    ALTER DEFAULT PRIVILEGES FOR ROLE runmetrics_owner IN SCHEMA public
        GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO runmetrics_processor;
END $$;
