/*
 * Runs under way.  What a run says of itself is in shared memory: without
 * shared_preload_libraries only that there is one is known.
 */
CREATE FUNCTION activate.progress_slots()
RETURNS TABLE (run_id pg_catalog.int8, pid pg_catalog.int4, phase pg_catalog.text, rows_total pg_catalog.int8,
	rows_done pg_catalog.int8, in_flight pg_catalog.int4, deliver_started_at pg_catalog.timestamptz,
	waiting_for pg_catalog.text)
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'act_progress_slots';
COMMENT ON FUNCTION activate.progress_slots() IS 'runs of this database as they say themselves: behind the view progress';

CREATE FUNCTION activate.run_process(sync_id pg_catalog.int8)
RETURNS pg_catalog.int4
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'act_run_process';
COMMENT ON FUNCTION activate.run_process(pg_catalog.int8) IS 'process that runs a sync, or null: behind the view progress';

CREATE VIEW activate.progress WITH (security_barrier) AS
SELECT r.run_id, s.name AS sync, process.pid, p.phase, p.rows_total, p.rows_done,
	rate.rows_per_second, p.in_flight, p.waiting_for,
	CASE WHEN rate.rows_per_second OPERATOR(pg_catalog.>) 0 THEN
		pg_catalog.make_interval(secs => ((p.rows_total OPERATOR(pg_catalog.-) p.rows_done)::pg_catalog.float8
			OPERATOR(pg_catalog./) rate.rows_per_second::pg_catalog.float8)) END AS eta
FROM activate.run AS r
JOIN activate.visible_sync AS s ON s.sync_id OPERATOR(pg_catalog.=) r.sync_id
LEFT JOIN activate.progress_slots() AS p ON p.run_id OPERATOR(pg_catalog.=) r.run_id
CROSS JOIN LATERAL (SELECT COALESCE(p.pid, activate.run_process(r.sync_id)) AS pid) AS process
CROSS JOIN LATERAL (SELECT pg_catalog.round(p.rows_done::pg_catalog.numeric OPERATOR(pg_catalog./)
	GREATEST(EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) p.deliver_started_at), 0.001), 1)
	AS rows_per_second) AS rate
WHERE r.status OPERATOR(pg_catalog.=) 'running' AND process.pid IS NOT NULL;
COMMENT ON VIEW activate.progress IS 'runs under way, and how far they are';
COMMENT ON COLUMN activate.progress.run_id IS 'number of the run';
COMMENT ON COLUMN activate.progress.sync IS 'name of the sync';
COMMENT ON COLUMN activate.progress.pid IS 'process that runs it: a session, or a background worker';
COMMENT ON COLUMN activate.progress.phase IS 'diff: the model is compared; link: the destination is asked for records that it has already; deliver: rows are sent; settle: what came of it is written down; null: not known without shared_preload_libraries';
COMMENT ON COLUMN activate.progress.rows_total IS 'rows to send; null: not known yet, or not without shared_preload_libraries';
COMMENT ON COLUMN activate.progress.rows_done IS 'rows answered, well or badly';
COMMENT ON COLUMN activate.progress.rows_per_second IS 'rows answered a second since the first was sent';
COMMENT ON COLUMN activate.progress.in_flight IS 'requests sent and not answered yet';
COMMENT ON COLUMN activate.progress.waiting_for IS 'what keeps it from going on: answer, retry, rate limit, quota of the day, concurrency, throttled, destination is down, or a lock on the sync''s table; null: nothing';
COMMENT ON COLUMN activate.progress.eta IS 'time that the rest will take at this rate; null: not known yet';
GRANT SELECT ON activate.progress TO PUBLIC;
