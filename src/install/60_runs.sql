CREATE PROCEDURE activate.run_sync(name pg_catalog.text, max_rows pg_catalog.int8 DEFAULT NULL,
	keys pg_catalog.jsonb DEFAULT NULL)
LANGUAGE C
AS 'MODULE_PATHNAME', 'act_run_sync';
COMMENT ON PROCEDURE activate.run_sync(pg_catalog.text, pg_catalog.int8, pg_catalog.jsonb)
	IS 'runs a sync here and now, committing as it goes; max_rows: only the first so many rows; keys: only these';

CREATE FUNCTION activate.queue_run(name pg_catalog.text)
RETURNS pg_catalog.int8
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'act_queue_run';
COMMENT ON FUNCTION activate.queue_run(pg_catalog.text)
	IS 'asks the background worker to run a sync once this transaction has committed; returns the run''s number';

CREATE PROCEDURE activate.wait_for_run(run_id pg_catalog.int8, timeout pg_catalog.interval DEFAULT '1 hour',
	INOUT status pg_catalog.text DEFAULT NULL)
LANGUAGE C
AS 'MODULE_PATHNAME', 'act_wait_for_run';
COMMENT ON PROCEDURE activate.wait_for_run(pg_catalog.int8, pg_catalog.interval, pg_catalog.text)
	IS 'waits until a run has ended and says how; after the timeout, with a warning, how it is';

CREATE FUNCTION activate.cancel_run(run_id pg_catalog.int8)
RETURNS pg_catalog.void
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'act_cancel_run';
COMMENT ON FUNCTION activate.cancel_run(pg_catalog.int8)
	IS 'ends a run, queued or under way, wherever it runs; what was not sent yet is delayed';
