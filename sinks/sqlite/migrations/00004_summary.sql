-- +goose Up

-- What the commit changed in the latencies that count of the run: for each value an unsigned varint, twice the milliseconds,
-- plus one where it was taken out because a retry or a void replaced its execution. All of a run's commits add up to its
-- latencies, those of many runs to the latencies of all of them. NULL where nobody knows: then the run's events tell.
ALTER TABLE event_chunks ADD COLUMN latencies BLOB;

-- The same of a sealed run, whose commits are gone. NULL for a run that is not sealed, and where nobody knows.
ALTER TABLE campaign_metrics ADD COLUMN latencies BLOB;

-- Each filter of a listing by itself is one walk along an index, in the order of the listing.
CREATE INDEX campaign_metrics_campaign ON campaign_metrics (campaign_id, created_at DESC, run_key DESC);
CREATE INDEX campaign_metrics_status ON campaign_metrics (status, created_at DESC, run_key DESC);
CREATE INDEX campaign_metrics_phase ON campaign_metrics (phase, created_at DESC, run_key DESC);
CREATE INDEX campaign_metrics_run ON campaign_metrics (run_id, campaign_id, phase);
DROP INDEX campaign_metrics_names;
