/*
 * What stands in shared memory; without preload there is nothing.  The
 * function itself shows a role no more than the view does.
 */
CREATE FUNCTION activate.worker_rows()
RETURNS TABLE (pid pg_catalog.int4, kind pg_catalog.text, database_oid pg_catalog.oid, sync pg_catalog.text,
	state pg_catalog.text, started_at pg_catalog.timestamptz, last_error pg_catalog.text)
LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'act_worker_rows';
COMMENT ON FUNCTION activate.worker_rows() IS 'background workers, and what waits for one: behind the view workers';

CREATE FUNCTION activate.worker_problem()
RETURNS pg_catalog.text LANGUAGE C VOLATILE
AS 'MODULE_PATHNAME', 'act_worker_problem';
COMMENT ON FUNCTION activate.worker_problem() IS 'why the background workers do not serve this database; null: they do';

CREATE VIEW activate.workers WITH (security_barrier) AS
SELECT w.pid, w.kind, d.datname::pg_catalog.text AS database, w.sync, w.state, w.started_at, w.last_error
FROM activate.worker_rows() AS w
LEFT JOIN pg_catalog.pg_database AS d ON d.oid OPERATOR(pg_catalog.=) w.database_oid;
COMMENT ON VIEW activate.workers IS 'background workers of this server, and what waits for one; members of pg_monitor see all, others those of their syncs in this database';
COMMENT ON COLUMN activate.workers.pid IS 'its process; null: it has none (yet)';
COMMENT ON COLUMN activate.workers.kind IS 'launcher, scheduler (of a database) or run (of a sync)';
COMMENT ON COLUMN activate.workers.database IS 'the database it works in; null: the launcher, which works in none';
COMMENT ON COLUMN activate.workers.sync IS 'the sync that it runs; null: it is no run';
COMMENT ON COLUMN activate.workers.state IS 'running, starting, leaving, failed (and begins again after a while), stopped (and will not), or waiting, and what for';
COMMENT ON COLUMN activate.workers.started_at IS 'since when the process works; null: it does not';
COMMENT ON COLUMN activate.workers.last_error IS 'what ended the one before; null: nothing';
GRANT SELECT ON activate.workers TO PUBLIC;
