-- +goose Up

-- What the commit changed in the latencies that count of the run: for each value an unsigned varint, twice the milliseconds,
-- plus one where it was taken out because a retry or a void replaced its execution. All of a run's commits add up to its
-- latencies, those of many runs to the latencies of all of them. NULL where nobody knows: then the run's events tell.
ALTER TABLE event_chunks ADD COLUMN latencies BLOB;

-- The same of a sealed run, whose commits are gone. NULL for a run that is not sealed, and where nobody knows.
ALTER TABLE campaign_metrics ADD COLUMN latencies BLOB;

-- A run by its id alone. An update writes every index anew that has a column which it sets, changed or not, so filters by
-- status and phase have none: with indexes for them the pipeline committed 46,000 events/s, without them 60,000.
CREATE INDEX campaign_metrics_run ON campaign_metrics (run_id, campaign_id, phase);
